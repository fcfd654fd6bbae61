//! Which launcher has started this process, by what it leaves in the environment.

/// A process that a launcher has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// The launcher.
    pub by: &'static str,
    /// The number of this process.
    pub rank: usize,
    /// How many processes there are.
    pub size: usize,
    /// The number of this process among those of its machine.
    pub local_rank: usize,
    /// How many processes this machine has.
    pub local_size: usize,
}

/// A launcher's variables: rank, size, local rank, local size.
struct Launcher {
    by: &'static str,
    names: [&'static str; 4],
}

/// The first one that fits counts: Slurm's `srun` also sets PMI's variables, and Open MPI's `mpirun` inside a Slurm job finds
/// Slurm's.
const LAUNCHERS: [Launcher; 3] = [
    Launcher {
        by: "mpirun of Open MPI",
        names: [
            "OMPI_COMM_WORLD_RANK",
            "OMPI_COMM_WORLD_SIZE",
            "OMPI_COMM_WORLD_LOCAL_RANK",
            "OMPI_COMM_WORLD_LOCAL_SIZE",
        ],
    },
    // A batch script has SLURM_PROCID and SLURM_NTASKS, too, and is one process: the size of a step only srun sets.
    Launcher {
        by: "srun",
        names: ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"],
    },
    Launcher { by: "mpiexec", names: ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"] },
];

impl Launched {
    /// What the environment says of this process; nothing where no launcher has started it.
    pub fn by_environment(variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        // Slurm writes `2(x3)` where several machines have as many.
        let digits = |text: String| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        let number = |name: &str| digits(variable(name)?).parse::<usize>().ok();
        LAUNCHERS.iter().find_map(|Launcher { by, names: [rank, size, local_rank, local_size] }| {
            let (rank, size) = (number(rank)?, number(size)?);
            let local_rank = number(local_rank).unwrap_or(0);
            let local_size = number(local_size).unwrap_or(1).max(local_rank + 1);
            (rank < size).then_some(Self { by, rank, size, local_rank, local_size })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launched(variables: &[(&str, &str)]) -> Option<Launched> {
        Launched::by_environment(&|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn launchers_are_known_by_their_variables() {
        let open_mpi = launched(&[
            ("OMPI_COMM_WORLD_RANK", "3"),
            ("OMPI_COMM_WORLD_SIZE", "8"),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
        ]);
        let of = |by| Launched { by, rank: 3, size: 8, local_rank: 1, local_size: 2 };
        assert_eq!(open_mpi, Some(of("mpirun of Open MPI")));
        let srun = launched(&[
            ("SLURM_PROCID", "3"),
            ("SLURM_STEP_NUM_TASKS", "8"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_STEP_TASKS_PER_NODE", "2(x4)"),
            ("PMI_RANK", "3"),
            ("PMI_SIZE", "8"),
        ]);
        assert_eq!(srun, Some(of("srun")));
        let mpich =
            launched(&[("PMI_RANK", "3"), ("PMI_SIZE", "8"), ("MPI_LOCALRANKID", "1"), ("MPI_LOCALNRANKS", "2")]);
        assert_eq!(mpich, Some(of("mpiexec")));
    }

    #[test]
    fn a_shell_and_a_batch_script_are_no_launchers() {
        assert_eq!(launched(&[]), None);
        assert_eq!(launched(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8"), ("SLURM_LOCALID", "0")]), None);
        assert_eq!(launched(&[("PMI_RANK", "none"), ("PMI_SIZE", "8")]), None);
    }
}
