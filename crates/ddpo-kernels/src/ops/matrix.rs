//! The matrix of a product: a constant packed once, or an input packed at each use.

use std::sync::{Arc, OnceLock};

use crate::{
    cpu::{pack::Panels, winograd::Tiles},
    graph::{Array, constant, on_cpu},
    simd::Level,
    weight::Weight,
};

/// How a matrix is packed: as it is, or carried to the positions of Winograd's tiles.
pub(super) type Form = Option<Tiles>;

/// The packed forms of a frozen weight, computed when first asked for and kept with what was asked: whoever asks for
/// another form, as images of another size may, packs at each use.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    forward: OnceLock<(Form, Panels)>,
    adjoint: OnceLock<(Form, Vec<Vec<usize>>, Vec<Panels>)>,
}

/// Where an operation finds its matrix.
#[derive(Clone, Debug)]
pub(super) enum Matrix {
    /// A constant, and its packed forms.
    Frozen(Array, Arc<Cache>),
    /// The operation's second input.
    Input,
}

impl Matrix {
    /// The matrix of a weight, if it is on the CPU.
    pub(super) fn of(weight: &Weight) -> Option<Self> {
        match weight.cache() {
            Some(cache) => Some(Self::Frozen(constant(weight.value())?, cache.clone())),
            None => on_cpu(weight.value()).then_some(Self::Input),
        }
    }

    /// Calls `body` with the matrix packed for `x · matrix`.
    pub(super) fn forward<R>(&self, inputs: &[Array], form: Form, body: impl FnOnce(&Panels) -> R) -> R {
        let pack = |value: &Array| {
            let [rows, columns] = dims(value);
            shape(Panels::pack(value.values(), rows, columns), form)
        };
        match self {
            Self::Frozen(value, cache) => {
                let (packed, panels) = cache.forward.get_or_init(|| (form, pack(value)));
                if *packed == form { body(panels) } else { body(&pack(value)) }
            }
            Self::Input => body(&pack(&inputs[1])),
        }
    }

    /// Calls `body` with the matrix of `positions` kernel positions packed for the input gradient, once
    /// for each list of positions in `taps`.
    pub(super) fn adjoint<R>(
        &self,
        value: Option<&Array>,
        positions: usize,
        taps: Vec<Vec<usize>>,
        form: Form,
        body: impl FnOnce(&[Panels]) -> R,
    ) -> Option<R> {
        let pack = |value: &Array, taps: &[Vec<usize>]| -> Vec<Panels> {
            let [rows, columns] = dims(value);
            let one =
                |taps: &Vec<usize>| shape(Panels::pack_adjoint(value.values(), taps, rows / positions, columns), form);
            taps.iter().map(one).collect()
        };
        match self {
            Self::Frozen(value, cache) => {
                let make = || (form, taps.clone(), pack(value, &taps));
                let (packed, of, panels) = cache.adjoint.get_or_init(make);
                Some(if *packed == form && *of == taps { body(panels) } else { body(&pack(value, &taps)) })
            }
            Self::Input => value.map(|value| body(&pack(value, &taps))),
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
            Self::Frozen(value, _) => value.last(),
            Self::Input => inputs[1].last(),
        }
    }
}

/// A packed matrix in the form wanted.
fn shape(panels: Panels, form: Form) -> Panels {
    match form {
        Some(tiles) => tiles.carry(Level::current(), &panels),
        None => panels,
    }
}

fn dims(matrix: &Array) -> [usize; 2] {
    let rows = matrix.shape().first().copied().unwrap_or(0);
    [rows, matrix.last()]
}
