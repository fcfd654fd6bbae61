//! A running reward program, and its end.

use std::io::Write;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::command::CommandLine;
use super::lines::{self, Line};
use crate::protocol::Reply;
use crate::{Error, Result};

/// The process numbers of the programs that run.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// The programs that ran are ended. As long as this lives no other is started, and none of their ends is noticed: who
/// waits for a score waits on, so that the process can end as it wants to.
#[must_use = "programs can be started again when this is dropped"]
pub struct EndedPrograms {
    _running: MutexGuard<'static, Vec<u32>>,
}

/// Ends the programs that run, with all that they have started.
pub fn kill_all() -> EndedPrograms {
    let mut running = running();
    running.iter().copied().for_each(kill_group);
    running.drain(..).for_each(reap);
    EndedPrograms { _running: running }
}

fn running() -> MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child process that answers lines with lines. It is killed when dropped.
pub struct Process {
    program: String,
    child: Child,
    requests: Sender<String>,
    events: Receiver<Event>,
    /// The requests so far.
    asked: u64,
    /// The last line that was no answer.
    skipped: Option<String>,
}

/// What the two pipes tell.
enum Event {
    /// A request is in the pipe.
    Written,
    /// The program printed a line.
    Line(Line),
    /// A pipe was closed or failed.
    Closed(std::io::Error),
}

impl Process {
    /// Starts a program, its standard error passed through.
    pub fn start(command: &CommandLine) -> Result<Self> {
        let mut process = command.command();
        process.stdin(Stdio::piped()).stdout(Stdio::piped());
        // Held while it is started, so that none escapes from `kill_all`.
        let mut running = running();
        let mut child = in_own_group(&mut process).spawn().map_err(|source| command.failed(source))?;
        running.push(child.id());
        drop(running);
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(command.failed(std::io::ErrorKind::BrokenPipe.into()));
        };
        let (events, received) = channel();
        read_lines(output, events.clone());
        let (program, requests) = (command.to_string(), write_requests(input, events));
        Ok(Self { program, child, requests, events: received, asked: 0, skipped: None })
    }

    /// Sends a request about `wanted` pictures, which `request` makes of its number, and waits for the answer, both within
    /// `timeout`.
    pub fn ask(&mut self, request: impl Fn(u64) -> String, wanted: usize, timeout: Duration) -> Result<Vec<f32>> {
        self.check_silence()?;
        let (id, deadline) = (self.asked, Instant::now() + timeout);
        self.asked += 1;
        self.skipped = None;
        if self.requests.send(request(id)).is_err() {
            return Err(self.broken(std::io::ErrorKind::BrokenPipe.into()));
        }
        let mut written = false;
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Event::Written) => written = true,
                Ok(Event::Line(Line::Skipped(text))) => self.skip(text),
                Ok(Event::Line(Line::Reply(reply, text))) => return self.scores(reply, text, id, wanted),
                Ok(Event::Closed(source)) => return Err(self.broken(source)),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.broken(std::io::ErrorKind::UnexpectedEof.into()));
                }
                Err(RecvTimeoutError::Timeout) => {
                    let (program, skipped) = (self.program.clone(), self.skipped.take());
                    return Err(Error::Timeout { program, seconds: timeout.as_secs(), written, skipped });
                }
            }
        }
    }

    /// The scores of a reply to the request `id`.
    fn scores(&self, reply: Reply, text: String, id: u64, wanted: usize) -> Result<Vec<f32>> {
        let program = self.program.clone();
        match reply {
            Reply::Scores { id: Some(found), .. } | Reply::Failure { id: Some(found), .. } if found != id => {
                Err(Error::WrongRequest { program, found, wanted: id })
            }
            Reply::Scores { scores, .. } => Ok(scores),
            Reply::Failure { message, .. } => Err(Error::Refused { program, message }),
            Reply::OtherVersion(version) => Err(Error::ProtocolVersion { program, version }),
            Reply::Malformed | Reply::Chatter => Err(Error::Answer { program, answer: text, wanted }),
        }
    }

    /// Remembers a line that is no answer, for the message where none comes.
    fn skip(&mut self, text: String) {
        self.skipped = Some(text).filter(|text| !text.is_empty()).or_else(|| self.skipped.take());
    }

    /// What was answered without a request would be taken for the answer to the next one.
    fn check_silence(&mut self) -> Result<()> {
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Written | Event::Line(Line::Skipped(_)) => {}
                Event::Line(Line::Reply(_, line)) => {
                    return Err(Error::Unasked { program: self.program.clone(), line });
                }
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
        running().retain(|id| *id != self.child.id());
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

/// Takes note of the end of a program that was killed, for a second at most: unless somebody does, its number stays in the system's table
/// after this process has ended, as long as the first process of a container does not see to it.
#[cfg(unix)]
fn reap(id: u32) {
    use rustix::process::{Pid, WaitOptions, waitpid};
    let Some(program) = i32::try_from(id).ok().and_then(Pid::from_raw) else { return };
    for _ in 0..100 {
        match waitpid(Some(program), WaitOptions::NOHANG) {
            Ok(None) => thread::sleep(Duration::from_millis(10)),
            Ok(Some(_)) | Err(_) => return,
        }
    }
}

#[cfg(not(unix))]
fn reap(_: u32) {}

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
        let end = lines::read(output, |line| events.send(Event::Line(line)).is_ok());
        let _ = events.send(Event::Closed(end));
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
