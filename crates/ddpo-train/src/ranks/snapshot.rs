//! A snapshot on its way from the first rank to the others.

use std::collections::BTreeMap;

use super::together::Ranks;
use super::wire::{Reader, Writer};
use crate::checkpoint::Snapshot;
use crate::error::Result;
use crate::tensors::NamedTensor;

impl Ranks {
    /// The snapshot that the first rank goes on from, if there is one: the others need not see its disk.
    ///
    /// # Errors
    /// Those of [`gather`](Self::gather).
    pub fn share_snapshot(&self, mine: Option<&Snapshot>) -> Result<Option<Snapshot>> {
        if self.is_alone() {
            return Ok(mine.cloned());
        }
        let message = self.broadcast(&mine.map(encode).unwrap_or_default())?;
        if message.is_empty() { Ok(None) } else { decode(&mut Reader::new(&message)).map(Some) }
    }
}

fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let Snapshot { epoch, counters, texts, tensors, lengths } = snapshot;
    let mut message = Writer::default();
    message.number(*epoch);
    for numbers in [counters, lengths] {
        message.number(numbers.len() as u64);
        for (name, number) in numbers {
            message.bytes(name.as_bytes());
            message.number(*number);
        }
    }
    message.number(texts.len() as u64);
    for (name, words) in texts {
        message.bytes(name.as_bytes());
        message.number(words.len() as u64);
        words.iter().for_each(|word| message.bytes(word.as_bytes()));
    }
    message.number(tensors.len() as u64);
    for NamedTensor { name, values } in tensors {
        message.bytes(name.as_bytes());
        message.floats(values);
    }
    message.finish()
}

fn decode(message: &mut Reader<'_>) -> Result<Snapshot> {
    let epoch = message.number()?;
    let mut numbers = || -> Result<BTreeMap<String, u64>> {
        let count = message.count(16)?;
        (0..count).map(|_| Ok((message.text()?, message.number()?))).collect()
    };
    let (counters, lengths) = (numbers()?, numbers()?);
    let mut texts = BTreeMap::new();
    for _ in 0..message.count(16)? {
        let (name, count) = (message.text()?, message.count(8)?);
        texts.insert(name, (0..count).map(|_| message.text()).collect::<Result<_>>()?);
    }
    let count = message.count(16)?;
    let tensor = |_| Ok(NamedTensor { name: message.text()?, values: message.floats()? });
    let tensors = (0..count).map(tensor).collect::<Result<_>>()?;
    Ok(Snapshot { epoch, counters, texts, tensors, lengths })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_arrives_as_it_was() {
        let snapshot = Snapshot {
            epoch: 7,
            counters: [("updates".to_owned(), 3)].into(),
            texts: [("prompts".to_owned(), vec!["a fox".to_owned(), String::new()])].into(),
            tensors: vec![NamedTensor { name: "parameter/a".into(), values: vec![1.0, -2.5] }],
            lengths: [("metrics.jsonl".to_owned(), 99)].into(),
        };
        for snapshot in [snapshot, Snapshot::default()] {
            assert_eq!(decode(&mut Reader::new(&encode(&snapshot))).unwrap(), snapshot);
        }
    }
}
