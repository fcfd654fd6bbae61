//! The value of attention.

use std::ops::Range;

use super::{
    super::{
        memory::{self, Shared, with_scratch},
        tile::Walk,
    },
    Head, Shape, multiply, row,
    softmax::Softmax,
    transposed, width,
};
use crate::simd::Level;

/// `softmax(q kᵀ / sqrt(depth)) v`, head by head; `rows` are the samples of the keys that those of the queries look at.
pub(crate) fn forward(level: Level, [q, k, v]: [&[f32]; 3], shape: Shape, rows: Option<&[usize]>) -> Vec<f32> {
    let heads = shape.batch * shape.heads;
    let parts = memory::tasks().div_ceil(heads.max(1)).clamp(1, shape.queries.div_ceil(48).max(1));
    // SAFETY: the parts of all heads cover every query and channel.
    unsafe {
        memory::filled(q.len(), |y| {
            memory::for_each(heads * parts, shape.work(), |index| {
                let (sample, part) = (index / parts / shape.heads, index % parts);
                let head = Head::new(shape, sample, row(rows, sample), index / parts % shape.heads);
                let range = memory::part(shape.queries, 16, parts, part);
                with_scratch(2 * head.room(), |buffer| {
                    let (keys, values) = buffer.split_at_mut(head.room());
                    head.keys(k, keys);
                    head.keys(v, values);
                    for start in range.clone().step_by(shape.block()) {
                        block(level, q, keys, values, head, start..range.end.min(start + shape.block()), y);
                    }
                });
            });
        })
    }
}

/// The result for some queries of a head.
fn block(level: Level, q: &[f32], keys: &[f32], values: &[f32], head: Head, queries: Range<usize>, y: Shared) {
    let shape = head.shape;
    let depth = shape.depth;
    let width = width(queries.len());
    with_scratch((2 * depth + shape.rows() + 1) * width, |buffer| {
        let (columns, buffer) = buffer.split_at_mut(depth * width);
        let (result, buffer) = buffer.split_at_mut(depth * width);
        let (scores, sums) = buffer.split_at_mut(shape.rows() * width);
        head.columns(q, queries.clone(), width, shape.scale(), columns);
        multiply(level, keys, Walk::rows(depth, depth), shape.keys, columns, width, scores);
        let first = queries.start;
        level.run(Softmax { scores, width, sums, first, keys: shape.keys, mask: shape.mask });
        multiply(level, values, transposed(shape), depth, scores, width, result);
        head.scatter(y, queries, width, result, |i| 1.0 / sums[i]);
    });
}
