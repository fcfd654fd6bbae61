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

/// A launcher's variables. What numbers the processes of a machine has several names, of which one or none is there.
struct Launcher {
    by: &'static str,
    rank: &'static str,
    size: &'static str,
    local_rank: &'static [&'static str],
    local_size: &'static [&'static str],
}

/// The first one that fits counts: Slurm's `srun` also sets PMI's variables, and Open MPI's `mpirun` inside a Slurm job finds
/// Slurm's.
const LAUNCHERS: [Launcher; 3] = [
    Launcher {
        by: "mpirun of Open MPI",
        rank: "OMPI_COMM_WORLD_RANK",
        size: "OMPI_COMM_WORLD_SIZE",
        local_rank: &["OMPI_COMM_WORLD_LOCAL_RANK"],
        local_size: &["OMPI_COMM_WORLD_LOCAL_SIZE"],
    },
    // A batch script has SLURM_PROCID and SLURM_NTASKS, too, and is one process: the size of a step only srun sets.
    Launcher {
        by: "srun",
        rank: "SLURM_PROCID",
        size: "SLURM_STEP_NUM_TASKS",
        local_rank: &["SLURM_LOCALID"],
        local_size: &["SLURM_STEP_TASKS_PER_NODE"],
    },
    // Of MPICH and what descends from it: Intel MPI, Cray MPICH, MVAPICH.
    Launcher {
        by: "mpiexec",
        rank: "PMI_RANK",
        size: "PMI_SIZE",
        local_rank: &["MPI_LOCALRANKID", "PMI_LOCAL_RANK", "PALS_LOCAL_RANKID", "MV2_COMM_WORLD_LOCAL_RANK"],
        local_size: &["MPI_LOCALNRANKS", "PMI_LOCAL_SIZE", "PALS_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE"],
    },
];

impl Launched {
    /// What the environment says of this process; nothing where no launcher has started it.
    pub fn by_environment(variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        // Slurm writes `2(x3)` where several machines have as many.
        let digits = |text: String| text.chars().take_while(char::is_ascii_digit).collect::<String>();
        let number = |name: &str| digits(variable(name)?).parse::<usize>().ok();
        let first = |names: &[&str]| names.iter().find_map(|name| number(name));
        LAUNCHERS.iter().find_map(|Launcher { by, rank, size, local_rank, local_size }| {
            let (rank, size) = (number(rank)?, number(size)?);
            let local_rank = first(local_rank).unwrap_or(0);
            let local_size = first(local_size).unwrap_or(1).max(local_rank + 1);
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
        for [local_rank, local_size] in [
            ["MPI_LOCALRANKID", "MPI_LOCALNRANKS"],
            ["PMI_LOCAL_RANK", "PMI_LOCAL_SIZE"],
            ["PALS_LOCAL_RANKID", "PALS_LOCAL_SIZE"],
        ] {
            let mpich = launched(&[("PMI_RANK", "3"), ("PMI_SIZE", "8"), (local_rank, "1"), (local_size, "2")]);
            assert_eq!(mpich, Some(of("mpiexec")));
        }
    }

    #[test]
    fn a_shell_and_a_batch_script_are_no_launchers() {
        assert_eq!(launched(&[]), None);
        assert_eq!(launched(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8"), ("SLURM_LOCALID", "0")]), None);
        assert_eq!(launched(&[("PMI_RANK", "none"), ("PMI_SIZE", "8")]), None);
    }
}
