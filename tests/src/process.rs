//! Processes of the shop: built once, started with their own ports, killed without a word.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, sleep};

use crate::{PATIENCE, PAUSE};

/// A process of the shop. Its name is that of its crate and its binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    Coordinator,
    Order,
    Inventory,
    Payment,
}

impl Service {
    /// In the order in which they are started.
    pub const ALL: [Service; 4] =
        [Service::Coordinator, Service::Order, Service::Inventory, Service::Payment];

    pub fn binary(self) -> &'static str {
        match self {
            Service::Coordinator => "saga-coordinator",
            Service::Order => "order-service",
            Service::Inventory => "inventory-service",
            Service::Payment => "payment-service",
        }
    }

    pub fn database(self) -> &'static str {
        match self {
            Service::Coordinator => "saga",
            Service::Order => "order",
            Service::Inventory => "inventory",
            Service::Payment => "payment",
        }
    }
}

/// A running process; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(service: Service, args: &[String], folder: &Path) -> Self {
        let log = folder.join(format!("{}.log", service.binary()));
        let file = File::options().create(true).append(true).open(&log).expect("a log file");
        let child = Command::new(built_binary(service.binary()))
            .args(args)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("a process");
        Process { child, log }
    }

    /// As if the machine had lost power: no signal can be handled.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("its end");
    }

    /// Asks it to stop, and waits for its exit code.
    pub(crate) async fn stop(self) -> Option<i32> {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        kill(pid, Signal::SIGTERM).expect("SIGTERM");
        self.ended().await
    }

    /// Its exit code, once it has ended by itself.
    async fn ended(mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "does not end:\n{}", self.log_tail());
            sleep(PAUSE).await;
        }
    }

    pub(crate) fn has_exited(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_some()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(400)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of {}\n{}", self.log.display(), self.log_tail());
        }
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Starts a process that should not run; gives its exit code and what it said.
pub async fn refusal(service: Service, args: &[String]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let process = Process::start(service, args, folder.path());
    let log = process.log.clone();
    (process.ended().await, std::fs::read_to_string(log).expect("its log"))
}

/// A binary of this workspace, built with the profile that the tests were built with.
pub fn built_binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build).join(name)
}

fn build() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    // target/debug/deps/system-… → target/debug
    let folder = test.parent().and_then(Path::parent).expect("a target folder").to_owned();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--bins", "--manifest-path"]);
    cargo.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"));
    cargo.arg("--target-dir").arg(folder.parent().expect("a target folder"));
    for package in
        ["order-service", "inventory-service", "payment-service", "saga-coordinator", "saga-cli"]
    {
        cargo.args(["--package", package]);
    }
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo").success(), "the services do not build");
    folder
}

/// The first of some ports in a row that nobody listens on.
pub fn free_port_base() -> u16 {
    loop {
        let base = provision::free_port().expect("a free port");
        if (base..base + 10).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
}
