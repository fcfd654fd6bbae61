//! A sum of gradients in an order of its own: in shards, and the shards in a tree.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};

use super::gradient::GradientSum;
use crate::error::{Error, Result};
use crate::ranks::{Ranks, Reader, Writer};

/// How the passes of an optimizer step are summed, whoever makes them: consecutive passes are a shard, summed one after the other,
/// and the shards are summed in a balanced binary tree. The number of shards is a setting of the run: with it, and not with how
/// many ranks there are, the rounding of the sum changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shards {
    passes: usize,
    count: usize,
}

/// The sums of some consecutive shards, in as few nodes of the tree as they make.
#[derive(Debug, Default)]
pub(crate) struct ShardSums {
    /// Each the sum of a range of shards; the ranges are consecutive.
    nodes: Vec<(Range<usize>, GradientSum)>,
}

impl Shards {
    /// So many passes in at most so many shards.
    pub fn new(passes: usize, most: usize) -> Self {
        Self { passes, count: most.min(passes).max(1) }
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.count
    }

    /// The passes of these shards.
    pub fn passes_of(self, shards: &Range<usize>) -> Range<usize> {
        let first = |shard: usize| self.passes * shard / self.count;
        first(shards.start)..first(shards.end)
    }

    /// The shard of a pass.
    pub fn shard_of(self, pass: usize) -> usize {
        // The last shard that begins at the pass or before it.
        ((pass + 1) * self.count).div_ceil(self.passes).saturating_sub(1)
    }

    /// The node of the tree that this one and its neighbour are the halves of.
    fn parent(self, node: &Range<usize>) -> Option<Range<usize>> {
        let mut parent = 0..self.count;
        if *node == parent {
            return None;
        }
        loop {
            let [left, right] = halves(&parent);
            if left == *node || right == *node {
                return Some(parent);
            }
            parent = if node.end <= left.end { left } else { right };
        }
    }
}

fn halves(node: &Range<usize>) -> [Range<usize>; 2] {
    let middle = node.start.midpoint(node.end);
    [node.start..middle, middle..node.end]
}

impl ShardSums {
    /// Adds the gradients of the next pass, which counts as `weight` rows and belongs to `shard`.
    ///
    /// # Errors
    /// Those of [`GradientSum::add_tensors`].
    pub fn add(&mut self, shards: Shards, shard: usize, gradients: Vec<Tensor<1>>, weight: f64) -> Result<()> {
        match self.nodes.last_mut() {
            Some((node, sum)) if *node == (shard..shard + 1) => return sum.add_tensors(gradients, weight),
            Some(_) => self.fold(shards)?,
            None => {}
        }
        let mut sum = GradientSum::new();
        sum.add_tensors(gradients, weight)?;
        self.nodes.push((shard..shard + 1, sum));
        Ok(())
    }

    /// Sums neighbours that are the halves of a node, so that there are never more sums than the tree is deep.
    fn fold(&mut self, shards: Shards) -> Result<()> {
        while let [.., (left, _), (right, _)] = self.nodes.as_slice() {
            let whole = left.start..right.end;
            if left.end != right.start || shards.parent(right) != Some(whole.clone()) {
                return Ok(());
            }
            let (Some((_, right)), Some((node, sum))) = (self.nodes.pop(), self.nodes.last_mut()) else {
                return Ok(());
            };
            *node = whole;
            let (gradients, weight) = right.into_parts();
            sum.add_tensors(gradients, weight)?;
        }
        Ok(())
    }

    /// The sum of all shards of all ranks, the same everywhere. `lengths` are those of the parameters.
    ///
    /// # Errors
    /// Those of [`Ranks::gather`]; [`Error::Device`].
    pub fn total(mut self, shards: Shards, ranks: &Ranks, lengths: &[usize], device: &Device) -> Result<GradientSum> {
        self.fold(shards)?;
        if !ranks.is_alone() {
            let messages = ranks.gather(&self.encode()?)?;
            self.nodes.clear();
            for message in &messages {
                for node in decode(message, lengths, device)? {
                    self.nodes.push(node);
                    self.fold(shards)?;
                }
            }
        }
        let whole = self.nodes.pop().map(|(_, sum)| sum);
        whole.filter(|_| self.nodes.is_empty()).ok_or(Error::Ranks("shards of a gradient are missing".into()))
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let mut message = Writer::default();
        message.number(self.nodes.len() as u64);
        for (shards, sum) in &self.nodes {
            message.number(shards.start as u64);
            message.number(shards.end as u64);
            message.float(sum.weight());
            for gradient in sum.tensors() {
                message.floats(&gradient.clone().try_into_vec_as::<f32>().map_err(Error::device)?);
            }
        }
        Ok(message.finish())
    }
}

fn decode(message: &[u8], lengths: &[usize], device: &Device) -> Result<Vec<(Range<usize>, GradientSum)>> {
    let mut reader = Reader::new(message);
    let count = reader.count(24)?;
    let mut node = || {
        let shards = reader.number()? as usize..reader.number()? as usize;
        let weight = reader.float()?;
        let mut gradient = |&length: &usize| {
            let values = reader.floats()?;
            let found = values.len();
            if found != length {
                return Err(Error::Count { what: "values of another rank's gradient", found, wanted: length });
            }
            Ok(Tensor::from_data(TensorData::new(values, [length]), device))
        };
        let gradients = lengths.iter().map(&mut gradient).collect::<Result<_>>()?;
        let mut sum = GradientSum::new();
        sum.add_tensors(gradients, weight)?;
        Ok((shards, sum))
    };
    (0..count).map(|_| node()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranks::Team;

    /// The sum of `passes` gradients of two parameters in at most `most` shards by `size` ranks, as bits, from every rank.
    fn sums(passes: usize, most: usize, size: usize) -> Vec<(Vec<u32>, f64)> {
        let shards = Shards::new(passes, most);
        let of = |pass: usize| {
            let values = |length: usize| {
                (0..length).map(|i| ((pass * 31 + i * 7) as f32).sin() * 10f32.powi(pass as i32 % 5 - 2))
            };
            [3, 2].map(|length| {
                Tensor::from_data(TensorData::new(values(length).collect::<Vec<_>>(), [length]), &Device::flex())
            })
        };
        Team::each(size, |ranks| {
            let (mine, mut sums) = (ranks.share(shards.count()), ShardSums::default());
            for pass in shards.passes_of(&mine) {
                sums.add(shards, shards.shard_of(pass), of(pass).to_vec(), 1.0 + pass as f64).unwrap();
            }
            let sum = sums.total(shards, &ranks, &[3, 2], &Device::flex()).unwrap();
            let weight = sum.weight();
            let values = sum.into_parts().0.into_iter().flat_map(|t| t.try_into_vec_as::<f32>().unwrap());
            (values.map(f32::to_bits).collect(), weight)
        })
    }

    #[test]
    fn every_pass_has_one_shard_and_shards_are_consecutive() {
        for passes in 1..40 {
            for most in 1..12 {
                let shards = Shards::new(passes, most);
                for shard in 0..shards.count() {
                    let range = shards.passes_of(&(shard..shard + 1));
                    assert!(!range.is_empty(), "{passes} passes, shard {shard} of {}", shards.count());
                    assert!(range.clone().all(|pass| shards.shard_of(pass) == shard), "{passes} {most} {range:?}");
                }
                assert_eq!(shards.passes_of(&(0..shards.count())), 0..passes);
            }
        }
    }

    #[test]
    fn a_sum_has_the_same_bits_for_any_number_of_ranks() {
        for (passes, most) in [(1, 8), (5, 8), (8, 8), (23, 8), (23, 5), (40, 3), (7, 1)] {
            let alone = sums(passes, most, 1).remove(0);
            for size in 2..=9 {
                let all = sums(passes, most, size);
                assert!(all.iter().all(|sum| *sum == alone), "{passes} passes, {most} shards, {size} ranks");
            }
        }
    }

    #[test]
    fn one_shard_is_the_plain_sum_and_several_round_otherwise() {
        let [plain, tree] = [1, 8].map(|most| sums(23, most, 1).remove(0));
        let values = |sum: &(Vec<u32>, f64)| sum.0.iter().map(|&bits| f32::from_bits(bits)).collect::<Vec<_>>();
        assert!(values(&plain).iter().zip(values(&tree)).all(|(a, b)| (a - b).abs() <= 1e-4 * a.abs().max(1.0)));
        assert_eq!(plain.1, tree.1);
    }
}
