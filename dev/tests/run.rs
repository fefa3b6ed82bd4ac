//! The program as whoever starts it sees it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(90);

/// A run with a folder of its own; killed when dropped.
struct Running {
    child: Child,
    /// What it says on standard error.
    lines: Receiver<String>,
    said: Vec<String>,
}

/// How a run ended.
struct Ended {
    status: ExitStatus,
    /// Standard output, as JSON; null where it is none.
    json: Value,
    said: String,
}

fn start(state: &Path, arguments: &str) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dev"))
        .args(["--port", "0", "--json", "--state"])
        .arg(state)
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let errors = BufReader::new(child.stderr.take().expect("piped"));
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in errors.lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    Running {
        child,
        lines,
        said: Vec::new(),
    }
}

impl Running {
    fn signal(&self, signal: Signal) {
        kill_process(pid(self.child.id()), signal).expect("it runs");
    }

    /// Reads on until a line says this.
    fn until_it_says(&mut self, wanted: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(Duration::from_millis(50)) {
                Ok(line) => {
                    let done = wanted(&line);
                    self.said.push(line);
                    if done {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    assert!(Instant::now() < deadline, "in time: {:#?}", self.said);
                }
                Err(RecvTimeoutError::Disconnected) => panic!("it ended: {:#?}", self.said),
            }
        }
    }

    /// Waits until there are Tasks.
    fn until_tasks(&mut self) {
        self.until_it_says(|line| line.contains(" Tasks") && !line.contains(" 0 Tasks"));
    }

    /// Waits for its end.
    fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                break status;
            }
            assert!(Instant::now() < deadline, "it ends: {:#?}", self.said);
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut output = String::new();
        let stdout = self.child.stdout.as_mut().expect("piped");
        stdout.read_to_string(&mut output).expect("text");
        self.said.extend(self.lines.iter());
        Ended {
            status,
            json: serde_json::from_str(&output).unwrap_or_default(),
            said: self.said.join("\n"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(id: u32) -> Pid {
    let id = i32::try_from(id).expect("a process id");
    Pid::from_raw(id).expect("not zero")
}

/// The processes that were started with this folder.
fn processes(state: &Path) -> Vec<Pid> {
    let state = state.to_str().expect("UTF-8");
    let of_it = |id: &str| {
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(state)
    };
    let entries = fs::read_dir("/proc").expect("Linux");
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let ids = ids.filter(|id| id.bytes().all(|b| b.is_ascii_digit()) && of_it(id));
    ids.map(|id| pid(id.parse().expect("digits"))).collect()
}

/// Waits until no process is left, and makes sure that nobody listens at any address that the
/// settings name.
fn nothing_is_left(state: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while !processes(state).is_empty() {
        assert!(Instant::now() < deadline, "a process is left");
        std::thread::sleep(Duration::from_millis(20));
    }
    let settings = fs::read_to_string(state.join("vcc-link.toml")).expect("the settings");
    let ports: Vec<u16> = settings
        .split("127.0.0.1:")
        .skip(1)
        .map(|rest| {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
            digits.and_then(|port| port.parse().ok()).expect("a port")
        })
        .collect();
    assert!(ports.len() >= 3, "{ports:?}");
    for port in ports {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let connected = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        assert!(connected.is_err(), "somebody listens on {port}");
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn sum(counts: &Value) -> u64 {
    let counts = counts.as_object().expect("counts");
    counts.values().filter_map(Value::as_u64).sum()
}

#[test]
fn every_call_is_accounted_for() {
    let state = folder();
    let arguments = "--calls 400 --rate 0 --once";
    let Ended { status, json, said } = start(state.path(), arguments).end();
    assert!(status.success(), "{json}\n{said}");
    let count = |name: &str| json[name].as_u64().expect(name);
    assert_eq!((count("calls"), count("ended")), (400, 400));
    assert_eq!((count("unaccounted"), count("duplicates")), (0, 0));
    let ends = count("tasks") + count("parked") + sum(&json["skipped"]) + sum(&json["failed"]);
    assert_eq!((ends, sum(&json["lookups"])), (400, 400), "{json}");
    for (counts, names) in [
        ("skipped", &["internal", "policy", "unlinked"][..]),
        ("lookups", &["matched", "none", "withheld", "not_linked"]),
    ] {
        for name in names {
            assert!(json[counts][name].as_u64() > Some(0), "{name}: {json}");
        }
    }
    assert!(count("tasks") > 200 && count("parked") > 5, "{json}");
    // Many calls share a request, in which the promise to the customers lies.
    assert!(count("api_calls_per_1000") < 200, "{json}");
    assert!(count("p50_ms") <= count("p99_ms"), "{json}");
    let log = fs::read_to_string(state.path().join("vcc-link.log")).expect("the log");
    assert!(!(log + &said).contains("+44"), "a number is told");
    nothing_is_left(state.path());

    // The same folder again: earlier calls are not counted as this run's.
    let again = start(state.path(), "--calls 20 --rate 0 --once").end();
    assert!(again.status.success(), "{}\n{}", again.json, again.said);
    assert_eq!(again.json["calls"], 20);
    nothing_is_left(state.path());
}

#[test]
fn ctrl_c_ends_it_in_good_order() {
    let state = folder();
    let mut running = start(state.path(), "--rate 40");
    running.until_tasks();
    running.signal(Signal::INT);
    let Ended { status, json, said } = running.end();
    assert!(status.success(), "{json}\n{said}");
    assert_eq!(json["unaccounted"], 0, "{json}");
    assert!(json["tasks"].as_u64() > Some(0), "{json}");
    let log = fs::read_to_string(state.path().join("vcc-link.log")).expect("the log");
    assert!(
        log.lines()
            .last()
            .is_some_and(|line| line.contains("stopped")),
        "{log}"
    );
    nothing_is_left(state.path());
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    let state = folder();
    let mut running = start(state.path(), "--rate 40");
    running.until_tasks();
    let interrupted = Instant::now();
    running.signal(Signal::INT);
    running.until_it_says(|line| line.starts_with("Ending"));
    running.signal(Signal::INT);
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(130), "{}", ended.said);
    assert!(interrupted.elapsed() < Duration::from_secs(15));
    nothing_is_left(state.path());
}

#[test]
fn the_death_of_vcc_link_is_told() {
    let state = folder();
    let mut running = start(state.path(), "");
    running.until_it_says(|line| line.contains("1 calls"));
    let own = pid(running.child.id());
    let vcc_link = processes(state.path()).into_iter().find(|id| *id != own);
    kill_process(vcc_link.expect("vcc-link runs"), Signal::KILL).expect("it runs");
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.said);
    for told in ["vcc-link ended by itself", "vcc-link.log", "starting"] {
        assert!(ended.said.contains(told), "{told}: {}", ended.said);
    }
    nothing_is_left(state.path());
}

#[test]
fn vcc_link_does_not_outlive_its_parent() {
    let state = folder();
    let mut running = start(state.path(), "");
    running.until_it_says(|line| line.contains("1 calls"));
    running.signal(Signal::KILL);
    assert!(!running.end().status.success());
    nothing_is_left(state.path());
}

/// What a run says that cannot begin.
fn refusal(state: &Path, arguments: &str) -> String {
    let ended = start(state, arguments).end();
    assert!(!ended.status.success(), "{arguments}");
    assert_eq!(ended.json, Value::Null, "{arguments}");
    ended.said
}

#[test]
fn what_cannot_begin_says_what_to_do() {
    let state = folder();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let told = refusal(state.path(), &format!("--salesforce-port {port}"));
    assert!(
        told.contains("choose another with --salesforce-port"),
        "{told}"
    );
    assert!(refusal(state.path(), "--once").contains("--calls"));
    assert!(refusal(state.path(), "--rate -2").contains("--rate"));

    let mut running = start(state.path(), "--calls 1");
    running.until_it_says(|line| line.contains("1 calls"));
    let told = refusal(state.path(), "--fresh");
    assert!(told.contains("another `make run`"), "{told}");
    assert!(state.path().join("vcc-link.db").exists(), "it is in use");
    running.signal(Signal::TERM);
    assert!(running.end().status.success());

    let theirs = folder();
    fs::write(theirs.path().join("thesis.txt"), "years of work").expect("written");
    let told = refusal(theirs.path(), "--fresh");
    assert!(told.contains("choose an empty folder"), "{told}");
    assert!(theirs.path().join("thesis.txt").exists());
}
