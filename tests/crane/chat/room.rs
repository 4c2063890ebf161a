//! What happens when the conversation outgrows its context.

use super::user::{lines, said, tiny, User};

fn talk(overflow: &str, context: &str) -> std::process::Output {
    let tiny = tiny();
    let args = [
        tiny.to_str().unwrap(),
        "--format",
        "ndjson",
        "--system",
        "S",
        "-n",
        "12",
        "--temp",
        "0",
        "-c",
        context,
        "--overflow",
        overflow,
    ];
    let script: String = (0..8).map(|i| format!("\"turn {i}\"\n")).collect();
    User::new().chat(
        &args,
        &(script + "{\"command\":\"/tokens\"}\n{\"command\":\"/show\"}\n"),
    )
}

#[test]
fn by_itself_it_is_refused_and_nothing_is_lost() {
    let output = talk("error", "160");
    let objects = lines(&output);
    assert_eq!(output.status.code(), Some(1));
    let refused: Vec<_> = objects.iter().filter(|o| o["error"]["code"] == 5).collect();
    assert!(!refused.is_empty() && refused.len() < 8);
    assert!(refused[0]["error"]["message"]
        .as_str()
        .unwrap()
        .contains("/set overflow oldest"));
    // It was said before it happened.
    assert!(said(&output).contains("of 160 tokens of the context are used"));
    let shown = objects.last().unwrap()["said"].as_str().unwrap();
    assert!(
        shown.contains(&format!("turns     {}", 8 - refused.len())),
        "{shown}"
    );
}

#[test]
fn the_oldest_turns_go_and_are_named() {
    let output = talk("oldest", "160");
    let objects = lines(&output);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(objects[7]["turn"], 8);
    for object in &objects[..8] {
        let sum = object["prompt_tokens"].as_u64().unwrap() + object["tokens"].as_u64().unwrap();
        assert!(sum <= 160);
    }
    assert!(
        said(&output).contains("the model no longer sees turn"),
        "{}",
        said(&output)
    );
    let tokens = objects[8]["said"].as_str().unwrap();
    assert!(
        tokens.contains("(no longer seen)") && tokens.contains("system    1"),
        "{tokens}"
    );
    assert!(objects[9]["said"].as_str().unwrap().contains("system    S"));
}

#[test]
fn the_older_turns_are_summarised() {
    let output = talk("summarise", "256");
    let objects = lines(&output);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(objects[7]["turn"], 8);
    assert!(said(&output).contains("summarising turn"));
    let shown = objects[9]["said"].as_str().unwrap();
    assert!(shown.contains("summary   of "), "{shown}");
}
