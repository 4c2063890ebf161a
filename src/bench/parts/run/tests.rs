use super::*;
use crate::bench::subject::Nobody;

/// Two tests that are taken, one that follows from both, and one of two parts.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Test {
    Llm,
    Codec,
    Speech,
    Encode,
}

impl std::fmt::Display for Test {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

struct Fixed;

impl Instrument for Fixed {
    type Test = Test;

    fn take(&mut self, test: Test, _: bool, _: &dyn Watch) -> Result<Vec<Duration>, BenchError> {
        Ok(match test {
            Test::Llm => vec![Duration::from_millis(1280)],
            Test::Encode => vec![Duration::from_millis(30), Duration::from_millis(10)],
            _ => vec![Duration::from_millis(500)],
        })
    }

    fn expected(&self, test: Test) -> Expected {
        let need = Need {
            operations: 1e6,
            arithmetic: Arithmetic::Bf16,
            exact: 1e6,
            bytes: 0.0,
        };
        let part = |name: &str| (name.to_string(), Some(need));
        Expected {
            n_tokens: (test == Test::Llm).then_some(128),
            counts_tokens: test == Test::Llm,
            audio_s: Some(match test {
                Test::Llm => 2.56,
                Test::Speech => 1.0,
                _ => 5.0,
            }),
            need: Some(need),
            parts: match test {
                Test::Encode => vec![part("a"), part("b")],
                _ => Vec::new(),
            },
            ..Expected::default()
        }
    }

    fn follows(&self, test: Test, taken: &Taken<Test>) -> Option<Vec<Duration>> {
        let both = || taken(Test::Llm).into_iter().zip(taken(Test::Codec));
        let second = |(llm, codec): (Duration, Duration)| llm.div_f64(2.56) + codec.div_f64(5.0);
        (test == Test::Speech).then(|| both().map(second).collect())
    }
}

fn filled(tests: &[Test]) -> Vec<Row> {
    let cell = |&test: &Test| Cell {
        test,
        threads: 1,
        times: Vec::new(),
        row: Row::default(),
    };
    let mut cells: Vec<Cell<Test>> = tests.iter().map(cell).collect();
    let request = Request {
        threads: vec![1],
        repetitions: 3,
    };
    rounds(&mut cells, &request, &mut Fixed, &Nobody).unwrap();
    let limits = Limits {
        bandwidth: 1.0,
        f32: 1e9,
        bf16: 1e9,
        int8: 1.0,
    };
    for cell in &mut cells {
        fill(cell, &Fixed.expected(cell.test), &limits);
    }
    cells.into_iter().map(|cell| cell.row).collect()
}

#[test]
fn the_whole_is_what_both_take_for_a_second() {
    let rows = filled(&[Test::Llm, Test::Codec, Test::Speech]);
    assert_eq!(rows[0].median_ts, Some(100.0));
    assert_eq!(
        (rows[0].realtime, rows[1].realtime),
        (Some(2.0), Some(10.0))
    );
    let rtf = rows[2].rtf.unwrap();
    // 50/100 and 1/10.
    assert!((rtf - 0.6).abs() < 1e-9, "{rtf}");
    assert_eq!(rows[2].samples_ns.len(), 3);
    assert_eq!(rows[1].median_ts, None);
}

#[test]
fn parts_have_their_own_share_of_the_limit() {
    let rows = filled(&[Test::Encode]);
    assert_eq!(
        (rows[0].median_ms, rows[0].limit_ms),
        (Some(40.0), Some(2.0))
    );
    assert_eq!(rows[0].limit_share, Some(0.05));
    let names: Vec<&str> = rows[0]
        .parts
        .iter()
        .map(|part| part.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(rows[0].parts[1].limit_share, Some(0.2));
}
