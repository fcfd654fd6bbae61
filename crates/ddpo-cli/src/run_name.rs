//! What a run is called where nobody gave it a directory.

use std::path::Path;

/// The longest name, without its number.
const LENGTH: usize = 48;

/// The name that was given, else the configuration file's, else the model's and the reward's.
pub fn run_name(given: Option<&str>, config: Option<&Path>, model: &str, reward: &str) -> String {
    let stem = config.and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
    let name = given.map(String::from).or(stem).unwrap_or_else(|| format!("{model}-{}", reward_name(reward)));
    let name = plain(&name);
    if name.is_empty() { "run".to_owned() } else { name }
}

/// Of a program, its name alone: `bright` of `exec:/opt/rewards/bright.py --fast`; of a smoothed reward no number.
fn reward_name(reward: &str) -> String {
    let Some((kind, command)) = reward.split_once(':') else { return reward.to_owned() };
    if let ("smooth", Some((_, smoothed))) = (kind, command.split_once(':')) {
        return format!("smooth {}", reward_name(smoothed));
    }
    let command = command.trim();
    let program = match command.chars().next() {
        Some(quote @ ('"' | '\'')) => command[1..].split(quote).next(),
        _ => command.split_whitespace().next(),
    };
    Path::new(program.unwrap_or_default()).file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Letters, digits and single hyphens, underscores and dots, so that the name needs no quotes in a shell.
fn plain(name: &str) -> String {
    let kept = |c: char| if c.is_alphanumeric() || "_.".contains(c) { c } else { ' ' };
    let words: String = name.chars().map(kept).collect();
    let joined = words.split_whitespace().collect::<Vec<_>>().join("-");
    joined
        .trim_start_matches(['.', '-'])
        .chars()
        .take(LENGTH)
        .collect::<String>()
        .trim_end_matches(['-', '.'])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_wins_over_the_file_and_the_file_over_the_rest() {
        let file = Path::new("configs/my.toml");
        assert_eq!(run_name(Some("mine"), Some(file), "emoji", "jpeg-compressibility"), "mine");
        assert_eq!(run_name(None, Some(file), "emoji", "jpeg-compressibility"), "my");
        assert_eq!(run_name(None, None, "emoji", "jpeg-compressibility"), "emoji-jpeg-compressibility");
    }

    #[test]
    fn a_program_is_called_by_its_name_alone() {
        let of = |reward: &str| run_name(None, None, "sd", reward);
        assert_eq!(of("exec:/opt/my rewards/bright.py"), "sd-my");
        assert_eq!(of("exec:'/opt/my rewards/bright.py' --fast"), "sd-bright");
        assert_eq!(of("exec:./bright.py --fast"), "sd-bright");
        assert_eq!(of("exec:"), "sd");
        assert_eq!(of("smooth:0.1:jpeg-compressibility"), "sd-smooth-jpeg-compressibility");
        assert_eq!(of("smooth:0.1:exec:./bright.py"), "sd-smooth-bright");
    }

    #[test]
    fn a_name_is_one_word_of_a_shell() {
        assert_eq!(run_name(Some("../my run/№ 1!"), None, "", ""), "my-run-1");
        assert_eq!(run_name(Some("///"), None, "", ""), "run");
        assert_eq!(run_name(Some(&"a".repeat(99)), None, "", "").len(), LENGTH);
    }
}
