//! A running reward program, and its end.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::command::CommandLine;
use crate::{Error, Result};

/// The process numbers of the programs that run.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Ends the programs that run, with all that they have started.
pub fn kill_all() {
    let running = std::mem::take(&mut *RUNNING.lock().unwrap_or_else(PoisonError::into_inner));
    running.into_iter().for_each(kill_group);
}

/// A child process that answers lines with lines. It is killed when dropped.
pub struct Process {
    program: String,
    child: Child,
    requests: Sender<String>,
    events: Receiver<Event>,
}

/// What the two pipes tell.
enum Event {
    /// A request is in the pipe.
    Written,
    /// The program printed a line.
    Line(String),
    /// A pipe was closed or failed.
    Closed(std::io::Error),
}

impl Process {
    /// Starts a program, its standard error passed through.
    pub fn start(command: &CommandLine) -> Result<Self> {
        let mut process = command.command();
        process.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = in_own_group(&mut process).spawn().map_err(|source| command.failed(source))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(command.failed(std::io::ErrorKind::BrokenPipe.into()));
        };
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(child.id());
        let (events, received) = channel();
        read_lines(output, events.clone());
        Ok(Self { program: command.to_string(), child, requests: write_requests(input, events), events: received })
    }

    /// Sends one line and waits for one, both within `timeout`.
    pub fn ask(&mut self, request: String, timeout: Duration) -> Result<String> {
        self.check_silence()?;
        let deadline = Instant::now() + timeout;
        if self.requests.send(request).is_err() {
            return Err(self.broken(std::io::ErrorKind::BrokenPipe.into()));
        }
        let mut written = false;
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::Written) => written = true,
                Ok(Event::Line(line)) => return Ok(line),
                Ok(Event::Closed(source)) => return Err(self.broken(source)),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.broken(std::io::ErrorKind::UnexpectedEof.into()));
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Error::Timeout { program: self.program.clone(), seconds: timeout.as_secs(), written });
                }
            }
        }
    }

    /// What was printed without a request would be taken for the answer to the next one.
    fn check_silence(&mut self) -> Result<()> {
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Written => {}
                Event::Line(line) => return Err(Error::Unasked { program: self.program.clone(), line }),
                Event::Closed(source) => return Err(self.broken(source)),
            }
        }
        Ok(())
    }

    /// A closed pipe nearly always means that the program ended; then its exit status says more than the pipe.
    fn broken(&mut self, source: std::io::Error) -> Error {
        let program = self.program.clone();
        // The pipe closes a little before the process can be waited for; one that lives on must not be waited for.
        for _ in 0..100 {
            match self.child.try_wait() {
                Ok(Some(status)) => return Error::Died { program, status },
                Ok(None) => thread::sleep(Duration::from_millis(10)),
                Err(source) => return Error::Pipe { program, source },
            }
        }
        Error::Pipe { program, source }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The program may have ended already, and nothing can be done about one that cannot be killed.
        kill_group(self.child.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).retain(|id| *id != self.child.id());
    }
}

/// Ends what the program started as well: a wrapper script's model would otherwise live on with its memory.
#[cfg(unix)]
fn kill_group(id: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(group) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(not(unix))]
fn kill_group(_: u32) {}

/// Keeps Ctrl-C on the terminal from ending the program, since the run decides when it has asked for the last time, and
/// lets [`Process`] end it together with its children.
#[cfg(unix)]
fn in_own_group(command: &mut Command) -> &mut Command {
    std::os::unix::process::CommandExt::process_group(command, 0)
}

#[cfg(not(unix))]
fn in_own_group(command: &mut Command) -> &mut Command {
    command
}

/// Reads lines on a thread of its own, because a pipe cannot be read with a timeout. The thread ends with the pipe.
fn read_lines(output: ChildStdout, events: Sender<Event>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            if events.send(line.map_or_else(Event::Closed, Event::Line)).is_err() {
                return;
            }
        }
        let _ = events.send(Event::Closed(std::io::ErrorKind::UnexpectedEof.into()));
    });
}

/// Writes on a thread of its own, because a program that does not read would stop the writer for ever. The thread ends
/// with the process, whose end closes the pipe.
fn write_requests(mut input: ChildStdin, events: Sender<Event>) -> Sender<String> {
    let (sender, requests) = channel::<String>();
    thread::spawn(move || {
        for request in requests {
            let written = input.write_all(request.as_bytes()).and_then(|()| input.flush());
            if events.send(written.map_or_else(Event::Closed, |()| Event::Written)).is_err() {
                return;
            }
        }
    });
    sender
}
