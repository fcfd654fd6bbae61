//! The value of attention.

use std::ops::Range;

use super::{
    super::{
        memory::{self, Shared, with_scratch},
        pack::PANEL,
        product::Start,
        tile::{GROUP, Walk},
    },
    Head, Shape, multiply, row,
    softmax::{Running, Shrink, Softmax},
    transposed, width,
};
use crate::simd::Level;

/// `softmax(q kᵀ / sqrt(depth)) v`, head by head; `rows` are the samples of the keys that those of the queries look at. `ln Σ e^score`
/// of each query, `[sample][head][query]`, goes to `log_sums`: what the gradients would have to compute again.
pub(crate) fn forward(
    level: Level,
    [q, k, v]: [&[f32]; 3],
    shape: Shape,
    rows: Option<&[usize]>,
    log_sums: Option<&mut [f32]>,
) -> Vec<f32> {
    let heads = shape.batch * shape.heads;
    let parts = memory::tasks().div_ceil(heads.max(1)).clamp(1, shape.queries.div_ceil(48).max(1));
    let known = log_sums.map(Shared::new);
    assert!(known.is_none_or(|known| known.len() == heads * shape.queries), "attention: values of the log sums");
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
                    for start in range.clone().step_by(PANEL) {
                        block(level, q, [keys, values], head, start..range.end.min(start + PANEL), (y, known));
                    }
                });
            });
        })
    }
}

/// The result for some queries of a head: the keys go by in chunks, and what was summed before shrinks whenever a score is larger than
/// all before it (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018).
fn block(
    level: Level,
    q: &[f32],
    [keys, values]: [&[f32]; 2],
    head: Head,
    queries: Range<usize>,
    (y, known): (Shared, Option<Shared>),
) {
    let shape = head.shape;
    let depth = shape.depth;
    let width = width(queries.len());
    let chunk = shape.chunk();
    with_scratch((2 * depth + chunk.next_multiple_of(GROUP)) * width, |buffer| {
        let (columns, buffer) = buffer.split_at_mut(depth * width);
        let (result, scores) = buffer.split_at_mut(depth * width);
        head.columns(q, queries.clone(), width, shape.scale(), columns);
        let (first, mut running) = (queries.start, Running::new());
        for at in (0..shape.keys.max(1)).step_by(chunk.max(1)) {
            let count = chunk.min(shape.keys - at);
            let (keys, values) = (&keys[at * depth..], &values[at * depth..]);
            multiply(level, Start::Zero, (keys, Walk::rows(depth, depth), count), (columns, width), scores);
            let running = &mut running;
            level.run(Softmax { scores, width, running, first, keys: count, mask: shape.mask });
            let start = if at == 0 { Start::Zero } else { Start::Continue };
            if at > 0 {
                level.run(Shrink { result, width, by: &running.shrunk });
            }
            multiply(level, start, (values, transposed(shape, count), depth), (scores, width), result);
        }
        if let Some(known) = known {
            // SAFETY: whoever has a head has these queries of it alone.
            let log_sums = unsafe { known.slice(head.known + queries.start..head.known + queries.end) };
            for (query, to) in log_sums.iter_mut().enumerate() {
                *to = running.largest[query] + running.sums[query].ln();
            }
        }
        head.scatter(y, queries, width, result, |i| 1.0 / running.sums[i]);
    });
}
