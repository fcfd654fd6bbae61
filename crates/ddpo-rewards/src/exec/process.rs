//! A running reward program, and its end.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::{Error, Result};

/// A child process that answers lines with lines. It is killed when dropped.
pub struct Process {
    program: String,
    child: Child,
    requests: ChildStdin,
    answers: Receiver<std::io::Result<String>>,
}

impl Process {
    /// Starts `program` with `arguments`, its standard error passed through.
    pub fn start(program: &str, arguments: &[String]) -> Result<Self> {
        let failed = |source| Error::Start { program: program.to_owned(), source };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = in_own_group(&mut command).spawn().map_err(failed)?;
        let (Some(requests), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(std::io::ErrorKind::BrokenPipe.into()));
        };
        Ok(Self { program: program.to_owned(), child, requests, answers: read_lines(output) })
    }

    /// Sends one line and waits for one.
    pub fn ask(&mut self, request: &str, timeout: Duration) -> Result<String> {
        if let Err(source) = self.requests.write_all(request.as_bytes()).and_then(|()| self.requests.flush()) {
            return Err(self.broken(source));
        }
        match self.answers.recv_timeout(timeout) {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(source)) => Err(Error::Pipe { program: self.program.clone(), source }),
            Err(RecvTimeoutError::Timeout) => {
                Err(Error::Timeout { program: self.program.clone(), seconds: timeout.as_secs() })
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.broken(std::io::ErrorKind::UnexpectedEof.into())),
        }
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
        kill_group(&self.child);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends what the program started as well: a wrapper script's model would otherwise live on with its memory.
#[cfg(unix)]
fn kill_group(child: &Child) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
}

#[cfg(not(unix))]
fn kill_group(_: &Child) {}

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
fn read_lines(output: ChildStdout) -> Receiver<std::io::Result<String>> {
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
