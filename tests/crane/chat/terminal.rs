//! A person at a terminal, played by tmux where it is installed.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::user::{tiny, User};

/// A terminal with a chat in it.
struct Terminal {
    socket: String,
    user: User,
}

impl Terminal {
    /// None where there is no tmux.
    fn open(name: &str, size: (u16, u16), environment: &str, args: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            println!("skipped: tmux is not installed");
            return None;
        }
        let terminal = Self {
            socket: format!("crane-{}-{name}", std::process::id()),
            user: User::new(),
        };
        let (crane, tiny) = (env!("CARGO_BIN_EXE_crane"), tiny());
        let command = format!(
            "cd '{}'; XDG_STATE_HOME='{}' HF_HUB_OFFLINE=1 {environment} '{crane}' chat '{}' --temp 0 {args}; echo left $?; sleep 60",
            terminal.user.home.path().display(),
            terminal.user.state().display(),
            tiny.display()
        );
        let (columns, rows) = (size.0.to_string(), size.1.to_string());
        let started = terminal.tmux(&["new-session", "-d", "-x", &columns, "-y", &rows, &command]);
        assert!(started.0, "{}", started.1);
        Some(terminal)
    }

    fn tmux(&self, args: &[&str]) -> (bool, String) {
        let output = Command::new("tmux")
            .args(["-L", &self.socket, "-f", "/dev/null"])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).to_string(),
        )
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J", "-S", "-400"]).1
    }

    /// Waits until the screen satisfies `wanted`.
    fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            assert!(Instant::now() < end, "waited for {what}:\n{screen}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn until_text(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// The last line that is not blank.
fn last(screen: &str) -> &str {
    screen.trim_end().lines().last().unwrap_or_default()
}

#[test]
fn a_person_types_edits_and_leaves() {
    let Some(terminal) =
        Terminal::open("types", (80, 30), "EDITOR='sed -i s/typed/edited/'", "-n 6")
    else {
        return;
    };
    terminal.until_text(">>>");
    terminal.keys(&["/tok", "Tab", "Enter"]);
    terminal.until_text("0 of 256 tokens");
    // Several lines, in two ways.
    terminal.keys(&["one", "M-Enter", "two", "Enter"]);
    terminal.until("a reply", |screen| last(screen).ends_with("% >>>"));
    terminal.keys(&["\"\"\"a", "Enter", "b\"\"\"", "Enter"]);
    terminal.until("a second reply", |screen| {
        screen.matches("% >>>").count() >= 2
    });
    terminal.keys(&["/export json a.json", "Enter"]);
    terminal.until_text("2 turns written");
    let talk = std::fs::read_to_string(terminal.user.home.path().join("a.json")).unwrap();
    assert!(
        talk.contains("\"one\\ntwo\"") && talk.contains("\"a\\nb\""),
        "{talk}"
    );
    // The line goes through the editor before it is sent.
    terminal.keys(&["typed", "C-g"]);
    // The line itself stands behind the third prompt that shows the context.
    terminal.until("a third reply", |screen| {
        screen.matches("% >>>").count() >= 4
    });
    terminal.keys(&["/export md c.md", "Enter"]);
    terminal.until_text("3 turns written");
    let talk = std::fs::read_to_string(terminal.user.home.path().join("c.md")).unwrap();
    assert!(talk.contains("\nedited\n"), "{talk}");
    // Slips and errors leave the conversation as it is.
    terminal.keys(&["/claer", "Enter"]);
    terminal.until_text("(/clear?)");
    terminal.keys(&["/load nothing", "Enter"]);
    terminal.until_text("there is no session 'nothing'");
    // Ctrl-C takes a line back; on an empty one it hints, and then leaves.
    terminal.keys(&["half a line", "C-c"]);
    terminal.keys(&["C-c"]);
    terminal.until_text("once more leaves");
    terminal.keys(&["C-c"]);
    terminal.until_text("left 130");
    let history = std::fs::read_to_string(terminal.user.state().join("crane/history")).unwrap();
    assert!(
        history.contains("/claer") && history.contains("one\\ntwo"),
        "{history}"
    );
}

#[test]
fn a_paste_of_many_lines_is_one_message() {
    for (name, size) in [("wide", (300, 40)), ("narrow", (20, 24))] {
        let Some(terminal) = Terminal::open(name, size, "", "-n 3") else {
            return;
        };
        terminal.until_text(">>>");
        let paste: String = (0..200).map(|i| format!("{i}\n")).collect();
        let file = terminal.user.home.path().join("paste");
        std::fs::write(&file, paste.trim_end()).unwrap();
        terminal.tmux(&["load-buffer", file.to_str().unwrap()]);
        terminal.tmux(&["paste-buffer", "-p"]);
        terminal.until_text("199");
        terminal.keys(&["Enter"]);
        // The tiny model holds 256 tokens: the message is refused as a whole.
        terminal.until("the refusal", |screen| {
            screen.contains("not sent") || screen.contains("not\nsent")
        });
        terminal.keys(&["C-d"]);
        terminal.until_text("left 0");
    }
}

#[test]
fn plain_terminals_get_no_escapes() {
    for (name, environment) in [("dumb", "TERM=dumb"), ("colourless", "NO_COLOR=1")] {
        let Some(terminal) = Terminal::open(name, (80, 24), environment, "-n 6") else {
            return;
        };
        terminal.until_text(">>>");
        terminal.keys(&["one", "Enter"]);
        terminal.until("a reply", |screen| screen.matches(">>>").count() >= 2);
        let coloured = terminal.tmux(&["capture-pane", "-p", "-e", "-S", "-100"]).1;
        assert!(!coloured.contains("\x1b["), "{coloured:?}");
        terminal.keys(&["/bye", "Enter"]);
        terminal.until_text("left 0");
    }
}

#[test]
fn a_pipe_may_begin_and_the_terminal_goes_on() {
    let Some(terminal) = Terminal::open("initial", (80, 24), "echo one |", "-n 4 --initial -")
    else {
        return;
    };
    terminal.until("a reply", |screen| {
        last(screen).ends_with(">>>") && screen.matches('\n').count() > 3
    });
    terminal.keys(&["/tokens", "Enter"]);
    terminal.until_text("turn 1");
    terminal.keys(&["C-d"]);
    terminal.until_text("left 0");
}
