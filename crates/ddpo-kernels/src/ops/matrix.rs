//! The matrix of a product: a constant packed once, or an input packed at each use.

use std::sync::Arc;

use super::frozen::{Frozen, carry};
use crate::{
    cpu::{
        pack::{Panel, Panels},
        winograd::Tiles,
    },
    graph::{Array, on_cpu},
    weight::{Form, Weight},
};

/// Where an operation finds its matrix.
#[derive(Clone, Debug)]
pub(super) enum Matrix {
    /// A constant, and its packed form.
    Frozen(Arc<Frozen>, Arc<Panels>),
    /// The operation's second input.
    Input,
}

impl Matrix {
    /// The matrix of a weight, if it is on the CPU.
    pub(super) fn of(weight: &Weight) -> Option<Self> {
        match weight.form() {
            Form::Frozen(frozen) => Some(Self::Frozen(frozen.clone(), frozen.panels()?)),
            Form::Trainable(value) => on_cpu(value).then_some(Self::Input),
        }
    }

    /// Calls `body` with the matrix packed for `x · matrix`, and carried to the positions of `tiles` if there are any.
    pub(super) fn forward<R>(&self, inputs: &[Array], tiles: Option<Tiles>, body: impl FnOnce(&Panels) -> R) -> R {
        match self {
            Self::Frozen(frozen, panels) => frozen.forward(panels, tiles, body),
            Self::Input => {
                let [rows, columns] = dims(&inputs[1]);
                body(&carry(Panels::pack(inputs[1].values(), rows, columns), tiles))
            }
        }
    }

    /// Calls `body` with the matrix of `positions` kernel positions packed for the input gradient, once
    /// for each list of positions in `taps`.
    pub(super) fn adjoint<R>(
        &self,
        value: Option<&Array>,
        positions: usize,
        taps: Vec<Vec<usize>>,
        tiles: Option<Tiles>,
        body: impl FnOnce(&[Panels]) -> R,
    ) -> Option<R> {
        match self {
            Self::Frozen(frozen, panels) => Some(frozen.adjoint(panels, positions, taps, tiles, body)),
            Self::Input => value.map(|value| {
                let [rows, columns] = dims(value);
                let block = [Panel::whole(value.values(), columns)];
                let one =
                    |taps: &Vec<usize>| carry(Panels::pack_adjoint(&block, taps, rows / positions, columns), tiles);
                body(&taps.iter().map(one).collect::<Vec<_>>())
            }),
        }
    }

    /// Which input the matrix and the bias are, if they are.
    pub(super) fn positions(&self, bias: bool) -> (Option<usize>, Option<usize>) {
        match self {
            Self::Frozen(..) => (None, bias.then_some(1)),
            Self::Input => (Some(1), bias.then_some(2)),
        }
    }

    /// Columns of the matrix.
    pub(super) fn columns(&self, inputs: &[Array]) -> usize {
        match self {
            Self::Frozen(_, panels) => panels.columns(),
            Self::Input => inputs[1].last(),
        }
    }
}

fn dims(matrix: &Array) -> [usize; 2] {
    let rows = matrix.shape().first().copied().unwrap_or(0);
    [rows, matrix.last()]
}
