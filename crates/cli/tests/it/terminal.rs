//! What a person sees: the binary in a pseudo-terminal, its screen as a terminal would draw it.

use std::io::{Read as _, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};

use crate::bench::{ABIDE, Bench, Served};

/// Nothing that is waited for here takes a tenth of this.
const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal with a program in it.
struct Session {
    child: Box<dyn Child + Send + Sync>,
    keyboard: Box<dyn Write + Send>,
    shown: Arc<(Mutex<Shown>, Condvar)>,
}

struct Shown {
    screen: vt100::Parser,
    /// Everything that was ever written, as it was written.
    raw: Vec<u8>,
    is_over: bool,
}

impl Session {
    /// Runs the binary with these arguments on a terminal of that width.
    fn start(bench: &Bench, columns: u16, variables: &[(&str, &str)], args: &[&str]) -> Self {
        let rows = 24;
        let size = PtySize {
            rows,
            cols: columns,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pty = native_pty_system()
            .openpty(size)
            .expect("a pseudo-terminal");
        let mut command = CommandBuilder::new(args[0]);
        command.args(&args[1..]);
        command.cwd(bench.path());
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("ABIDE_STATE_DIR", bench.join("state"));
        command.env("TERM", "xterm-256color");
        for (name, value) in variables {
            command.env(name, value);
        }
        let child = pty.slave.spawn_command(command).expect("the binary runs");
        // With our end of it open, reading would never end.
        drop(pty.slave);
        let shown = Arc::new((
            Mutex::new(Shown {
                screen: vt100::Parser::new(rows, columns, 0),
                raw: Vec::new(),
                is_over: false,
            }),
            Condvar::new(),
        ));
        let reader = pty.master.try_clone_reader().expect("a reader");
        let keyboard = pty.master.take_writer().expect("a writer");
        record(reader, shown.clone(), pty.master);
        Self {
            child,
            keyboard,
            shown,
        }
    }

    /// Waits until the screen is as it should be.
    fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let (shown, changed) = &*self.shown;
        let guard = shown.lock().unwrap();
        let not_yet =
            |shown: &mut Shown| !is_so(&shown.screen.screen().contents()) && !shown.is_over;
        let (guard, _) = changed
            .wait_timeout_while(guard, PATIENCE, not_yet)
            .unwrap();
        let text = guard.screen.screen().contents();
        assert!(is_so(&text), "the screen doesn't show {what}:\n{text}");
    }

    /// Presses keys.
    fn press(&mut self, keys: &[u8]) {
        self.keyboard
            .write_all(keys)
            .expect("a terminal that reads");
        self.keyboard.flush().expect("a terminal that reads");
    }

    /// Waits for the end: the exit code, the last screen, and all that was written.
    fn end(mut self) -> (u32, String, String) {
        let code = self.child.wait().expect("a child").exit_code();
        let (shown, changed) = &*self.shown;
        let guard = shown.lock().unwrap();
        let (guard, _) = changed
            .wait_timeout_while(guard, PATIENCE, |shown| !shown.is_over)
            .unwrap();
        let raw = String::from_utf8_lossy(&guard.raw).into_owned();
        (code, guard.screen.screen().contents(), raw)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a pseudo-terminal is read by blocking; the thread ends with the program in it"
)]
fn record(
    mut reader: Box<dyn std::io::Read + Send>,
    shown: Arc<(Mutex<Shown>, Condvar)>,
    terminal: Box<dyn portable_pty::MasterPty + Send>,
) {
    std::thread::spawn(move || {
        let mut part = [0; 4096];
        loop {
            // The other end of a terminal that is gone is an error on Linux, and an end elsewhere.
            let read = reader.read(&mut part).unwrap_or(0);
            let mut guard = shown.0.lock().unwrap();
            guard.screen.process(&part[..read]);
            guard.raw.extend_from_slice(&part[..read]);
            guard.is_over = read == 0;
            shown.1.notify_all();
            if read == 0 {
                break;
            }
        }
        drop(terminal);
    });
}

/// A job of 100 s on a clock that stands still.
fn waiting(bench: &Bench, columns: u16, variables: &[(&str, &str)]) -> (Served, String, Session) {
    let server = bench.by_hand();
    let id = server.create(bench, "100s", "0");
    let args = ["--server", &server.url, "wait", &id].map(str::to_owned);
    let args: Vec<&str> = [ABIDE]
        .into_iter()
        .chain(args.iter().map(String::as_str))
        .collect();
    let session = Session::start(bench, columns, variables, &args);
    (server, id, session)
}

/// The stage and the whole percents that the server tells of a job.
fn progress(bench: &Bench, server: &Served, id: &str) -> (String, String) {
    let ran = server.run(bench, &["status", id, "--json"]);
    let progress = &ran.json()[0]["progress"];
    let percent = progress["percent"].as_f64().unwrap();
    let stage = progress["stage"].as_str().unwrap_or_default();
    (stage.to_owned(), format!("{percent:.0} %"))
}

#[test]
fn a_bar_shows_stage_and_percent_and_makes_room_for_the_end() {
    let bench = Bench::new();
    let (server, id, session) = waiting(&bench, 100, &[]);
    let tail = &id[id.len() - 8..];
    let (stage, percent) = progress(&bench, &server, &id);
    session.until("the first stage", |screen| {
        screen.contains(&stage) && screen.contains(&percent) && screen.contains(tail)
    });
    server.advance(50);
    let (later, percent) = progress(&bench, &server, &id);
    assert_ne!(stage, later);
    session.until("a later stage", |screen| {
        screen.contains(&later) && screen.contains(&percent) && screen.contains('━')
    });
    server.advance(50);
    let (code, screen, _) = session.end();
    assert_eq!(code, 0, "{screen}");
    assert!(
        screen.contains(&id) && screen.contains("completed"),
        "{screen}"
    );
    assert!(!screen.contains('━'), "the bar is gone:\n{screen}");
    assert_eq!(
        screen.lines().filter(|line| !line.is_empty()).count(),
        1,
        "{screen}"
    );
}

#[test]
fn a_bar_shows_what_the_server_has_learned() {
    let bench = Bench::new();
    let server = bench.by_hand();
    for _ in 0..30 {
        server.create(&bench, "100s", "0");
    }
    server.advance(100);
    let id = server.create(&bench, "100s", "0");
    let args = [ABIDE, "--server", &server.url, "wait", &id];
    let mut session = Session::start(&bench, 120, &[], &args);
    session.until("an estimate", |screen| screen.contains("about 1 min"));
    session.press(b"\x03");
    assert_eq!(session.end().0, 130);
}

#[test]
fn a_narrow_terminal_keeps_a_bar_in_one_line() {
    let bench = Bench::new();
    let (server, id, session) = waiting(&bench, 30, &[]);
    server.advance(50);
    let (_, percent) = progress(&bench, &server, &id);
    session.until("the percents in one line", |screen| {
        let lines: Vec<_> = screen.lines().filter(|line| !line.is_empty()).collect();
        lines.len() == 1 && lines[0].contains(&percent)
    });
    server.advance(50);
    let (code, screen, _) = session.end();
    assert_eq!(code, 0, "{screen}");
    let joined: String = screen.lines().collect();
    assert!(
        joined.contains(&id) && joined.contains("completed"),
        "{screen}"
    );
    assert!(!joined.contains(&percent), "the bar is gone:\n{screen}");
}

/// Whether a color is set somewhere: `ESC [ 3x m`, also among other parameters.
fn has_color(raw: &str) -> bool {
    raw.split("\x1b[").skip(1).any(|rest| {
        let code: String = rest
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == ';')
            .collect();
        rest[code.len()..].starts_with('m')
            && code
                .split(';')
                .any(|part| part.len() == 2 && part.starts_with('3'))
    })
}

#[test]
fn colors_are_for_those_who_want_them() {
    for (variables, wanted) in [
        (&[][..], true),
        (&[("NO_COLOR", "1")], false),
        (&[("TERM", "dumb")], false),
    ] {
        let bench = Bench::new();
        let (server, _, session) = waiting(&bench, 100, variables);
        if variables.is_empty() {
            session.until("a bar", |screen| screen.contains('%'));
        }
        server.advance(100);
        let (code, screen, raw) = session.end();
        assert_eq!(code, 0, "{screen}");
        assert!(screen.contains("completed"), "{screen}");
        assert_eq!(has_color(&raw), wanted, "{variables:?}: {raw:?}");
    }
}

#[test]
fn ctrl_c_ends_the_waiting_and_says_how_to_go_on() {
    let bench = Bench::new();
    let (server, id, mut session) = waiting(&bench, 200, &[]);
    session.until("a bar", |screen| screen.contains('%'));
    session.press(b"\x03");
    let (code, screen, _) = session.end();
    assert_eq!(code, 130, "{screen}");
    let resume = format!("abide wait {id} --server {}", server.url);
    assert!(screen.contains(&resume), "{screen}");
    assert!(screen.contains("the job goes on"), "{screen}");
    let ran = server.run(&bench, &["status", &id, "--json"]);
    assert_eq!(ran.json()[0]["done"], false);
}

#[test]
fn watching_writes_the_changes_above_the_bar() {
    let bench = Bench::new();
    let server = bench.by_hand();
    let id = server.create(&bench, "100s", "0");
    let args = [ABIDE, "--server", &server.url, "watch", &id];
    let session = Session::start(&bench, 140, &[], &args);
    session.until("the first change and a bar", |screen| {
        screen.contains(&id) && screen.contains('─')
    });
    let (first, _) = progress(&bench, &server, &id);
    server.advance(50);
    let (later, _) = progress(&bench, &server, &id);
    session.until("both changes", |screen| {
        screen.contains(&first) && screen.contains(&later)
    });
    server.advance(50);
    let (code, screen, _) = session.end();
    assert_eq!(code, 0, "{screen}");
    assert!(
        screen.lines().count() >= 4,
        "a line for each change:\n{screen}"
    );
    assert!(!screen.contains('─'), "the bar is gone:\n{screen}");
}

#[test]
fn a_closed_pipe_leaves_no_trace_on_the_terminal() {
    let bench = Bench::new();
    let script = format!("{ABIDE} completions bash | head -n 1; echo done");
    let session = Session::start(&bench, 100, &[], &["bash", "-c", &script]);
    let (code, screen, _) = session.end();
    assert_eq!(code, 0, "{screen}");
    let lines: Vec<_> = screen.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, ["_abide() {", "done"], "{screen}");
}

#[test]
fn the_demonstration_is_live_on_a_terminal() {
    let bench = Bench::new();
    let mut session = Session::start(
        &bench,
        120,
        &[],
        &[ABIDE, "demo", "--jobs", "2", "--seed", "7"],
    );
    session.until("a bar for each way", |screen| {
        ["every second", "growing by", "auto"]
            .iter()
            .all(|name| screen.contains(name))
            && screen.contains("0/2 ended")
    });
    session.press(b"\x03");
    let (code, screen, _) = session.end();
    assert_eq!(code, 130, "{screen}");
    assert!(screen.contains("interrupted"), "{screen}");
}
