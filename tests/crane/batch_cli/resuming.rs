//! `--resume`: a file of answers that was cut off is gone on with.

use super::*;

#[test]
fn a_file_cut_anywhere_is_gone_on_with() {
    let place = Place::new(&many(7, 9));
    let output = place.to_file(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    let whole = place.written();
    assert_eq!(lines(whole.as_bytes()).len(), 7);
    for cut in [
        0,
        1,
        whole.len() / 3,
        whole.len() / 2,
        whole.len() - 1,
        whole.len(),
    ] {
        let mut cut = cut;
        while !whole.is_char_boundary(cut) {
            cut -= 1;
        }
        std::fs::write(place.path("out.jsonl"), &whole[..cut]).unwrap();
        let output = place
            .to_file(&["--resume", "--parallel", "2"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(place.written(), whole, "cut at {cut}");
    }
    // What is there is never written over unasked, and another input is noticed.
    for (flags, input, part) in [
        (&[][..], many(7, 9), "--resume"),
        (
            &["--resume"][..],
            many(7, 9).replace("job 3", "job x"),
            "index 3",
        ),
        (&["--resume"][..], many(5, 9), "5 lines"),
    ] {
        std::fs::write(place.path("in.jsonl"), input).unwrap();
        let output = place.to_file(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
        assert_eq!(place.written(), whole);
    }
}

#[test]
fn a_failed_line_stays_failed_and_counts() {
    let place =
        Place::new("{\"prompt\": \"\"}\n{\"prompt\": \"a\", \"max_tokens\": 2, \"seed\": 1}\n");
    let first = place.to_file(&[]).output().unwrap();
    assert_eq!(first.status.code(), Some(1));
    let whole = place.written();
    let cut = whole.find('\n').unwrap() + 1;
    std::fs::write(place.path("out.jsonl"), &whole[..cut]).unwrap();
    let output = place.to_file(&["--resume"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("1 of 2 lines"),
        "{}",
        stderr(&output)
    );
    assert_eq!(place.written(), whole);
}

#[test]
fn a_killed_batch_goes_on_as_if_nothing_had_been() {
    let place = Place::new(&many(80, 60));
    assert_eq!(place.to_file(&[]).output().unwrap().status.code(), Some(0));
    let whole = place.written();
    for delay in [5, 30, 60, 100, 160, 250] {
        std::fs::remove_file(place.path("out.jsonl")).unwrap();
        // Killed twice, the second time after it had gone on.
        for more in [0, 17] {
            let mut child = place.to_file(&["--resume", "-q"]).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(delay + more));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let output = place.to_file(&["--resume"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(place.written(), whole, "killed after {delay} ms");
    }
}
