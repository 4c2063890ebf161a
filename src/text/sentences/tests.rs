use proptest::prelude::*;

use super::characters::is_removed;
use super::{clean, estimated_seconds, speakable, Limit, Piece, Splitter};

/// Every sentence on its own, so that ends can be seen.
const APART: Limit = Limit {
    longest: 60.0,
    shortest: 0.0,
    first: 0.0,
};

fn pieces(text: &str, limit: Limit) -> Vec<Piece> {
    let mut splitter = Splitter::new(limit);
    let mut out = splitter.push(text);
    out.extend(splitter.finish());
    out
}

fn texts(text: &str, limit: Limit) -> Vec<String> {
    pieces(text, limit).into_iter().map(|p| p.text).collect()
}

/// `marked` has `|` where a sentence ends.
fn assert_ends(marked: &str) {
    let expected: Vec<&str> = marked.split('|').map(str::trim).collect();
    assert_eq!(texts(&marked.replace('|', ""), APART), expected);
}

#[test]
fn english_sentences() {
    for marked in [
        "It rains. |We stay. |Why? |Because! |So be it.",
        "What?! |No way!! |Really?",
        "Mr. Smith met Mrs. Jones, Dr. Who and Prof. Moriarty at St. James. |They left.",
        "J. R. R. Tolkien wrote it. |George W. Bush did not.",
        "So do I. |We all do.",
        "I. Newton was right. |I am, too.",
        "Apples, pears, etc. are fruit. |Oranges, etc. |The rest is not.",
        "Use a tool, e.g. a hammer, i.e. Something hard. |Cf. Figure 3.",
        "It was Red vs. Blue. |See Fig. 3 and Vol. II.",
        "The U.S. Army came. |He lives in the U.S. |They do not.",
        "At 5 p.m. Eastern we met. |At 6 p.m. |It was over.",
        "He has a Ph.D. |She has two.",
        "Acme Inc. Software is sold by Acme Inc. |It works.",
        "No. 5 is alive. |No. |I am not. |See pp. 12 and Jan. 5.",
        "Pi is 3.14. |Version 2.0.1 is out. |Ask 192.168.0.1. |Then go.",
        "See example.com. |Or https://a.b/c?d=e.f&g for more. |Edit main.rs. |Done.",
        ".NET and Node.js are tools. |So is v1.2.",
        "Well... |Maybe. |Then... nothing came… |Or did it?",
        "…and so it ends. |It does.",
        "1. Take eggs. |2. Break them.",
        "“He said: ‘No.’ |Then he left.” |She stayed.",
        "\"Stop!\" he said. |\"I will not.\" |\"You must!\" |They fought.",
        "\"It is. |It was.\" |\"Yes.\"",
        "'Go.' |'Now.' |It's 'fun.' |Isn't it?",
        "(It was late.) |We slept (or tried to). |*Really?* |Yes.",
        "Great! 😀🎉 |Next one.",
        "wow! |that is nice. |we should go there. |ok then",
        "The approx. value of the temp. range is unk. to us.",
        "It costs $5. |€7 is more. |50% is half.",
        "¿Qué? |¡Vamos! |Sí.",
        "Он пришёл. |Она ушла.",
        "یہ کیا ہے؟ |ٹھیک ہے۔ |हाँ। |नहीं।",
    ] {
        assert_ends(marked);
    }
}

#[test]
fn chinese_and_japanese_sentences() {
    for marked in [
        "你好。|今天天气不错！|是吗？|是的；|我们走吧。",
        "他说：“好。”|然后走了。",
        "“好！”，他说。|“为什么？”|她问。",
        "（完。）|「はい。」|『そうです。』|行きましょう！",
        "我不知道……|也许吧。|嗯…|好",
        "圆周率是3.14。|版本2.0.1已发布。|请看example.com。|好",
        "我喜欢Rust.|它很快。|真的!|是吗?|对",
        "他走了。|\"好\",她说。|\"是的。\"|然后",
        "Mr.王来了。|第1.2节",
        "1.安装软件。|2.运行它。",
        "３．１４です。|そう．|次",
        "Hello。|World。|混合text没问题。|OK",
        "太好了！😀|下一个。",
        "啊！！！|什么？！|哦",
    ] {
        assert_ends(marked);
    }
}

#[test]
fn lines_and_paragraphs() {
    let piece = |text: &str, paragraph| Piece {
        text: text.into(),
        paragraph,
    };
    assert_eq!(
        pieces(
            "One line\nand another.\n\n\nNext  one\t.\r\n \r\nLast",
            APART
        ),
        [
            piece("One line and another.", true),
            piece("Next one .", true),
            piece("Last", false)
        ]
    );
    assert_eq!(
        pieces("这是第一行，\n这是第二行。\n\n新的一段\nword\n中", APART),
        [
            piece("这是第一行，这是第二行。", true),
            piece("新的一段 word 中", false)
        ]
    );
    assert_eq!(
        pieces("第一段。\n　　第二段。\r第三行", APART),
        [
            piece("第一段。", true),
            piece("第二段。", false),
            piece("第三行", false)
        ]
    );
    // What has nothing to say does not take the end of the paragraph with it.
    assert_eq!(
        pieces("Hello there. 😀 --\n\n***\n\nBye.\n\n", APART),
        [piece("Hello there. 😀 --", true), piece("Bye.", true)]
    );
    assert_eq!(
        pieces("A.\u{2029}B", APART),
        [piece("A.", true), piece("B", false)]
    );
}

#[test]
fn items_of_a_list_stand_apart() {
    for (text, expected) in [
        (
            "You need\n- eggs\n- milk and\nbread",
            vec!["You need", "- eggs", "- milk and bread"],
        ),
        (
            "Steps:\n1. Open it\n2) Close it\n10. Go",
            vec!["Steps:", "1. Open it", "2) Close it", "10. Go"],
        ),
        ("步骤\n1、打开\n2.关闭", vec!["步骤", "1、打开", "2.关闭"]),
        (
            "It was\n1999 and\n-5 degrees at\n3.5 km",
            vec!["It was 1999 and -5 degrees at 3.5 km"],
        ),
    ] {
        assert_eq!(texts(text, APART), expected);
    }
}

#[test]
fn short_sentences_are_said_together() {
    let said = texts(
        "Yes. No. Perhaps. It may well be that we never know. Ah. Who does?",
        Limit::default(),
    );
    assert_eq!(
        said,
        [
            // 1.5 s are enough for the first.
            "Yes. No. Perhaps. It may well be that we never know.",
            "Ah. Who does?",
        ]
    );
    let said = texts(
        "We are here to stay, yes. Ah. Oh. We are here to stay, yes and no. 好。好。",
        Limit::default(),
    );
    assert_eq!(
        said,
        [
            "We are here to stay, yes.",
            "Ah. Oh. We are here to stay, yes and no.",
            "好。好。"
        ]
    );
    // Not over the end of a paragraph.
    assert_eq!(texts("Yes.\n\nNo.", Limit::default()), ["Yes.", "No."]);
}

#[test]
fn the_first_piece_comes_early() {
    let mut splitter = Splitter::new(Limit::default());
    assert!(splitter.push("This is how it all beg").is_empty());
    assert!(splitter.push("an. ").is_empty());
    let first = splitter.push("I");
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].text, "This is how it all began.");
    assert!(splitter.push(" am").is_empty());
    assert_eq!(splitter.finish()[0].text, "I am");
}

#[test]
fn long_sentences_are_cut() {
    let limit = Limit::default();
    let clause = "when the sun had gone down behind the hills and the birds were quiet";
    let long = format!("{clause}, {clause}, {clause}, {clause}.");
    let said = texts(&long, limit);
    assert_eq!(
        said,
        [
            format!("{clause}, {clause},"),
            format!("{clause}, {clause}.")
        ]
    );

    // At spaces where there is no clause; not in numbers.
    let words = "word 1,000 10:30 ".repeat(30);
    for piece in texts(&words, limit) {
        assert!(piece.starts_with("word") || piece.starts_with('1'));
        assert!(piece.ends_with("word") || piece.ends_with("1,000") || piece.ends_with("10:30"));
    }

    // Chinese without a mark: between words of Latin letters, and all of it.
    let chinese = "我们今天用Rust语言写了一个程序".repeat(12);
    let said = texts(&chinese, limit);
    assert!(said.len() > 2);
    assert!(said
        .iter()
        .all(|p| !p.starts_with("ust") && !p.starts_with("st") && !p.starts_with('t')));
    assert_eq!(said.concat(), chinese);

    let commas = "他说，今天天气很好，我们出去玩吧，".repeat(8);
    assert!(texts(&commas, limit).iter().all(|p| p.ends_with('，')));

    // Never inside a character with its accents.
    let accents = "e\u{301}\u{302}".repeat(500);
    assert!(texts(&accents, limit).iter().all(|p| p.starts_with('e')));
    let thai = "ที่".repeat(400);
    assert!(texts(&thai, limit).iter().all(|p| p.starts_with('ท')));
}

#[test]
fn memory_is_bounded() {
    let mut splitter = Splitter::new(Limit::default());
    for bit in [
        "!", "a", "\u{301}", "😀", ". ", "U.S. ", "\"", "\n", "好", "\n1",
    ] {
        for _ in 0..20_000 {
            splitter.push(bit);
            assert!(splitter.text.len() < 2_000, "{bit:?}");
        }
    }
}

#[test]
fn nothing_to_say_gives_nothing() {
    for text in [
        "",
        " \n\n\t",
        "...",
        "!?",
        "😀 🎉",
        "---\n\n***",
        "\u{200B}\u{7}",
        "“”",
    ] {
        assert!(pieces(text, Limit::default()).is_empty(), "{text:?}");
        assert!(!speakable(text));
    }
    assert!(speakable("۳") && speakable("..a") && speakable("好"));
}

#[test]
fn text_is_cleaned() {
    assert_eq!(clean(" a\t\n b\u{200B}c\u{7}\u{202E}\u{3000}d  "), "a bc d");
    assert_eq!(clean("\u{FEFF}x\u{AD}y 😀\u{0}"), "xy 😀");
    assert_eq!(texts("a\u{0}b\u{200D}c\u{1B}[0m d.", APART), ["abc[0m d."]);
}

#[test]
fn limits_that_make_no_sense_do_no_harm() {
    for bad in [f64::NAN, -1.0, 0.0, f64::INFINITY] {
        let limit = Limit {
            longest: bad,
            shortest: bad,
            first: bad,
        };
        let said = texts("One two three. 一二三四五六七八九十。", limit);
        assert!(said.concat().ends_with("十。"));
    }
}

#[test]
fn time_is_estimated() {
    let english = "The quick brown fox jumps over the lazy dog and then it sleeps all day long.";
    let seconds = estimated_seconds(english);
    assert!((4.5..6.0).contains(&seconds), "{seconds}");
    let chinese = estimated_seconds("今天天气很好我们出去玩吧");
    assert!((2.4..2.9).contains(&chinese), "{chinese}");
    assert!(estimated_seconds("1234567890") > 2.5);
    assert_eq!(estimated_seconds(""), 0.0);
}

/// Text with all that the splitter looks at.
fn anything() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-zA-Z]{1,8}",
        3 => Just(" ".to_string()),
        2 => "[.!?,;:…]",
        2 => "[好的我他说。！？；，、：“”（）「」…—]",
        1 => "[0-9]{1,3}",
        1 => prop::sample::select(vec![
            "\n", "\n\n", "\r\n", "\t", "\u{3000}", "Mr.", "U.S.", "e.g.", "etc.", "p.m.", "No.",
            "\"", "'", "(", ")", "*", "- ", "1. ", "😀", "\u{301}", "\u{200B}", "\u{7}", "ที่",
            "１．", "...", "http://a.b/c", "The", "\u{2029}", "🇩🇪",
        ]).prop_map(str::to_string),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(part, 0..120).prop_map(|parts| parts.concat())
}

fn limits() -> impl Strategy<Value = Limit> {
    prop_oneof![
        Just(Limit::default()),
        Just(APART),
        Just(Limit {
            longest: 2.0,
            shortest: 1.0,
            first: 0.5
        })
    ]
}

fn visible(text: &str) -> String {
    let kept = |c: &char| !c.is_whitespace() && !is_removed(*c);
    text.chars().filter(kept).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_is_lost(text in anything(), limit in limits()) {
        let said = pieces(&text, limit);
        let letters = |text: &str| -> String { text.chars().filter(|c| c.is_alphanumeric()).collect() };
        let all: String = said.iter().map(|p| p.text.as_str()).collect();
        prop_assert_eq!(letters(&all), letters(&visible(&text)));
        // Where no part is without a letter, nothing is lost at all.
        let spoken = text.replace(|c: char| !c.is_alphanumeric() && !",.。！? \n".contains(c), "好");
        let spoken = spoken.replace('\n', "\n好");
        let long = Limit { longest: 1000.0, ..limit };
        let all: String = texts(&format!("好{spoken}"), long).concat();
        prop_assert_eq!(visible(&all), visible(&format!("好{spoken}")));
    }

    #[test]
    fn the_limit_is_kept(text in anything(), limit in limits()) {
        for piece in pieces(&text, limit) {
            prop_assert!(estimated_seconds(&piece.text) <= limit.longest + 1e-9, "{:?}", piece);
            prop_assert!(speakable(&piece.text));
            prop_assert_eq!(clean(&piece.text), piece.text);
        }
    }

    #[test]
    fn fragments_make_no_difference(
        text in anything(),
        limit in limits(),
        cuts in prop::collection::vec(1usize..9, 1..20),
    ) {
        let whole = pieces(&text, limit);
        let mut splitter = Splitter::new(limit);
        let mut said = Vec::new();
        let mut rest: Vec<char> = text.chars().collect();
        for n in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let bit: String = rest.drain(..(*n).min(rest.len())).collect();
            said.extend(splitter.push(&bit));
        }
        said.extend(splitter.finish());
        prop_assert_eq!(said, whole);
    }
}
