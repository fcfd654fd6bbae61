//! Starting processes under `mpirun`, and waiting for their end no longer than there is hope.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::runs::PLACE;

/// How long a run may take that one process does in seconds: on a busy machine, and with more ranks than cores.
const PATIENCE: Duration = Duration::from_secs(300);

/// `ranks` processes of what `command` starts; none where there is no launcher. `MPIRUN` names another than `mpirun`.
pub fn mpirun(ranks: usize, command: &Command) -> Option<Command> {
    let launcher = std::env::var("MPIRUN").unwrap_or("mpirun".into());
    let found = Command::new(&launcher).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        println!("skipped: no {launcher} on this machine");
        return None;
    }
    let mut launched = Command::new(launcher);
    // As root, as containers are, and with more ranks than cores; other launchers than Open MPI's ignore these.
    for (name, value) in [
        ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
        ("OMPI_MCA_hwloc_base_binding_policy", "none"),
    ] {
        launched.env(name, value);
    }
    launched.args(["-n", &ranks.to_string(), "env"]);
    // The launcher itself does without them.
    for (name, value) in command.get_envs() {
        let mut assignment = name.to_owned();
        assignment.push("=");
        assignment.push(value.unwrap_or_default());
        launched.arg(assignment);
    }
    launched.arg(command.get_program()).args(command.get_args());
    launched.current_dir(command.get_current_dir().unwrap_or(PLACE.path()));
    Some(launched)
}

/// Processes under a launcher, whose words go into a file.
pub struct Launched {
    child: Child,
    words: tempfile::NamedTempFile,
}

/// Starts what [`mpirun`] has made.
pub fn start(mut command: Command) -> Launched {
    let words = tempfile::NamedTempFile::new().unwrap();
    let file = |file: &File| Stdio::from(file.try_clone().unwrap());
    let child = command.stdout(file(words.as_file())).stderr(file(words.as_file())).spawn().unwrap();
    Launched { child, words }
}

impl Launched {
    /// The launcher.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// How it ended, and all that was said.
    #[track_caller]
    pub fn end(mut self) -> (ExitStatus, String) {
        let (start, said) = (Instant::now(), |words: &tempfile::NamedTempFile| {
            String::from_utf8_lossy(&std::fs::read(words.path()).unwrap()).into_owned()
        });
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, said(&self.words));
            }
            if start.elapsed() > PATIENCE {
                self.child.kill().unwrap();
                panic!("the processes wait for ever: {}", said(&self.words));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[track_caller]
pub fn check_ended_well(command: Command) {
    let (status, words) = start(command).end();
    assert!(status.success(), "{words}");
}

/// The processes of the run in `run`, in the order in which they were started, without the launcher.
pub fn ranks_of(run: &Path) -> Vec<u32> {
    let name = run.display().to_string();
    let of = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        let number = path.file_name()?.to_str()?.parse().ok()?;
        let line = String::from_utf8_lossy(&std::fs::read(path.join("cmdline")).ok()?).into_owned();
        let program = line.split('\0').next()?;
        (program.ends_with("ddpo") && line.contains(&name)).then_some(number)
    };
    let mut found: Vec<u32> = std::fs::read_dir("/proc").unwrap().filter_map(of).collect();
    found.sort_unstable();
    found
}
