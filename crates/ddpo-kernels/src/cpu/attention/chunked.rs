//! The gradients of attention over many keys: a chunk of them stays near the core, with its sums, while all queries go by (Dao,
//! "FlashAttention-2", 2023). What the value knows of each query saves a pass over all keys.

use std::ops::Range;

use super::{
    super::{
        memory::{Shared, with_scratch},
        pack::{PANEL, padded},
        product::Start,
        tile::{GROUP, Walk},
    },
    Head, Known, Shape, add_outer, multiply,
    softmax::KnownSlope,
    transposed,
};
use crate::simd::Level;

/// The backward pass of one head, for all samples that look at the same keys.
pub(super) struct ChunkedHead<'a> {
    pub level: Level,
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    pub g: &'a [f32],
    pub known: Known<'a>,
    /// The head of any of the samples.
    pub head: Head,
}

/// Some queries of a head, and what is known of them.
struct Block<'a> {
    head: &'a Head,
    range: Range<usize>,
    /// `ln Σ e^score` of all keys.
    log_sums: [f32; PANEL],
    /// What the weights of a query and their gradients have in common with all keys: `g · value`.
    dots: [f32; PANEL],
}

/// Some keys: their rows, and the sums of their gradients.
struct Chunk<'a> {
    count: usize,
    by_key: &'a [f32],
    by_value: &'a [f32],
    key_sum: Option<&'a mut [f32]>,
    value_sum: Option<&'a mut [f32]>,
}

impl ChunkedHead<'_> {
    pub(super) fn run(&self, heads: &[Head], dq: Option<Shared>, dk: Option<Shared>, dv: Option<Shared>) {
        let Shape { keys, depth, queries, .. } = self.head.shape;
        let most = self.head.shape.chunk();
        let room = most.next_multiple_of(GROUP) * depth + GROUP;
        let starts = heads.iter().flat_map(|head| (0..queries).step_by(PANEL).map(move |at| (head, at)));
        let blocks: Vec<Block<'_>> = starts.map(|(head, at)| self.queries(head, at..queries.min(at + PANEL))).collect();
        // The gradient of a block, `[channel][query]`.
        let size = depth * PANEL;
        with_scratch(2 * (room + most * depth) + blocks.len() * size, |buffer| {
            let (by_key, buffer) = buffer.split_at_mut(room);
            let (by_value, buffer) = buffer.split_at_mut(room);
            let (key_sum, buffer) = buffer.split_at_mut(most * depth);
            let (value_sum, query_sums) = buffer.split_at_mut(most * depth);
            query_sums.fill(0.0);
            for first in (0..keys).step_by(most) {
                let range = first..keys.min(first + most);
                self.head.some_keys(self.k, range.clone(), by_key);
                self.head.some_keys(self.v, range.clone(), by_value);
                let [key_sum, value_sum] = [&mut *key_sum, &mut *value_sum].map(|sum| &mut sum[..range.len() * depth]);
                key_sum.fill(0.0);
                value_sum.fill(0.0);
                let mut chunk = Chunk {
                    count: range.len(),
                    by_key,
                    by_value,
                    key_sum: dk.is_some().then_some(&mut *key_sum),
                    value_sum: dv.is_some().then_some(&mut *value_sum),
                };
                for (block, query_sum) in blocks.iter().zip(query_sums.chunks_exact_mut(size)) {
                    self.block(block, &mut chunk, dq.is_some().then_some(query_sum));
                }
                // Queries were scaled before they were summed into the keys' gradient.
                self.head.store(dk, first, key_sum);
                self.head.store(dv, first, value_sum);
            }
            let Some(dq) = dq else { return };
            for (Block { head, range, .. }, sum) in blocks.iter().zip(query_sums.chunks_exact(size)) {
                head.scatter(dq, range.clone(), PANEL, sum, |_| head.shape.scale());
            }
        });
    }

    /// The part of the gradients that some queries and some keys bring.
    fn block(&self, block: &Block<'_>, chunk: &mut Chunk<'_>, query_sum: Option<&mut [f32]>) {
        let Block { head, range: queries, log_sums, dots } = block;
        let (level, shape) = (self.level, head.shape);
        let depth = shape.depth;
        let scores = chunk.count.next_multiple_of(GROUP) * PANEL;
        with_scratch((depth + padded(depth)) * PANEL + 2 * scores, |buffer| {
            let (columns, buffer) = buffer.split_at_mut(depth * PANEL);
            let (rows, buffer) = buffer.split_at_mut(padded(depth) * PANEL);
            let (weights, slopes) = buffer.split_at_mut(scores);
            let walk = Walk::rows(depth, depth);
            head.columns(self.q, queries.clone(), PANEL, shape.scale(), columns);
            multiply(level, Start::Zero, (chunk.by_key, walk, chunk.count), (columns, PANEL), weights);
            head.columns(self.g, queries.clone(), PANEL, 1.0, columns);
            multiply(level, Start::Zero, (chunk.by_value, walk, chunk.count), (columns, PANEL), slopes);
            level.run(KnownSlope { scores: weights, slopes, width: PANEL, keys: chunk.count, log_sums, dots });
            if let Some(sum) = &mut chunk.value_sum {
                head.padded_rows(self.g, queries.clone(), 1.0, rows);
                add_outer(level, weights, PANEL, chunk.count, rows, depth, sum);
            }
            if let Some(sum) = &mut chunk.key_sum {
                head.padded_rows(self.q, queries.clone(), shape.scale(), rows);
                add_outer(level, slopes, PANEL, chunk.count, rows, depth, sum);
            }
            if let Some(sum) = query_sum {
                let left = (chunk.by_key, transposed(shape, chunk.count), depth);
                multiply(level, Start::Continue, left, (slopes, PANEL), sum);
            }
        });
    }

    /// Some queries, with what is known of them.
    fn queries<'a>(&self, head: &'a Head, range: Range<usize>) -> Block<'a> {
        let (mut log_sums, mut dots) = ([0.0; PANEL], [0.0; PANEL]);
        log_sums[..range.len()].copy_from_slice(&self.known.log_sums[head.known..][range.clone()]);
        for (dot, query) in dots.iter_mut().zip(range.clone()) {
            let rows = head.row(self.g, head.query, query).iter().zip(head.row(self.known.value, head.query, query));
            *dot = rows.map(|(g, value)| g * value).sum();
        }
        Block { head, range, log_sums, dots }
    }
}
