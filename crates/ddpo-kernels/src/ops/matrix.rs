//! The matrix of a product: a constant packed once, or an input packed at each use.

use std::sync::Arc;

use super::frozen::{Frozen, Packed, carry, keeps_widened};
use crate::{
    cpu::{
        half::{HalfPanels, Unit},
        pack::{Panel, Panels},
        winograd::Tiles,
    },
    graph::{Array, on_cpu},
    weight::{Form, Weight},
};

/// Where an operation finds its matrix, and in what format it multiplies.
#[derive(Clone, Debug)]
pub(super) enum Matrix {
    /// In `f32`.
    Full(FullMatrix),
    /// In bf16, summed in `f32`.
    Half(HalfMatrix),
}

/// A matrix in `f32`.
#[derive(Clone, Debug)]
pub(super) enum FullMatrix {
    /// A constant, and its packed form.
    Frozen(Arc<Frozen>, Arc<Panels>),
    /// The operation's second input.
    Input,
}

/// Outputs of an image for which a kernel is widened and carried at each use: a convolution of one image then takes several times
/// as long.
const MANY: usize = 1 << 12;

/// A constant matrix in bf16.
#[derive(Clone, Debug)]
pub(super) struct HalfMatrix {
    frozen: Arc<Frozen>,
    panels: Arc<HalfPanels>,
    unit: Unit,
}

impl Matrix {
    /// The matrix of a weight, if it is on the CPU.
    pub(super) fn of(weight: &Weight) -> Option<Self> {
        match weight.form() {
            Form::Frozen(frozen) => Some(match frozen.packed()? {
                Packed::Full(panels) => Self::Full(FullMatrix::Frozen(frozen.clone(), panels)),
                Packed::Half(panels) => {
                    Self::Half(HalfMatrix { frozen: frozen.clone(), panels, unit: Unit::current() })
                }
            }),
            Form::Trainable(value) => on_cpu(value).then_some(Self::Full(FullMatrix::Input)),
        }
    }

    /// Whether the matrix is the operation's second input.
    pub(super) fn is_input(&self) -> bool {
        matches!(self, Self::Full(FullMatrix::Input))
    }

    /// Which input the matrix and the bias are, if they are.
    pub(super) fn positions(&self, bias: bool) -> (Option<usize>, Option<usize>) {
        if self.is_input() { (Some(1), bias.then_some(2)) } else { (None, bias.then_some(1)) }
    }

    /// Columns of the matrix.
    pub(super) fn columns(&self, inputs: &[Array]) -> usize {
        match self {
            Self::Full(FullMatrix::Frozen(_, panels)) => panels.columns(),
            Self::Full(FullMatrix::Input) => inputs[1].last(),
            Self::Half(half) => half.panels.columns(),
        }
    }
}

impl FullMatrix {
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
}

impl HalfMatrix {
    /// The matrix, and what multiplies it.
    pub(super) fn forward(&self) -> (Unit, &HalfPanels) {
        (self.unit, &self.panels)
    }

    /// The tiles of a convolution that is Winograd's in `f32` for want of a unit that is faster: `tiles`, which would be the best in
    /// `f32`, where what they need of the matrix is kept or images of `pixels` outputs are worth making it.
    pub(super) fn tiles(&self, tiles: Option<Tiles>, pixels: usize) -> Option<Tiles> {
        let is_worth = || keeps_widened(&self.panels) || pixels >= MANY;
        tiles.filter(|_| !self.unit.outruns_winograd() && is_worth())
    }

    /// [`FullMatrix::forward`] in `f32`.
    pub(super) fn widened<R>(&self, tiles: Tiles, body: impl FnOnce(&Panels) -> R) -> R {
        self.frozen.widened(&self.panels, tiles, body)
    }

    /// [`FullMatrix::adjoint`] in `f32`.
    pub(super) fn widened_adjoint<R>(
        &self,
        positions: usize,
        taps: Vec<Vec<usize>>,
        tiles: Tiles,
        body: impl FnOnce(&[Panels]) -> R,
    ) -> R {
        self.frozen.widened_adjoint(&self.panels, positions, taps, tiles, body)
    }

    /// [`FullMatrix::adjoint`] in bf16.
    pub(super) fn adjoint<R>(
        &self,
        positions: usize,
        taps: Vec<Vec<usize>>,
        body: impl FnOnce(Unit, &[HalfPanels]) -> R,
    ) -> R {
        self.frozen.half_adjoint(&self.panels, positions, taps, |panels| body(self.unit, panels))
    }
}

fn dims(matrix: &Array) -> [usize; 2] {
    let rows = matrix.shape().first().copied().unwrap_or(0);
    [rows, matrix.last()]
}
