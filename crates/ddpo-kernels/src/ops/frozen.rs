//! A constant matrix, which is in memory once.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use burn::tensor::{DType, Device, Tensor, TensorData, bf16};

use crate::{
    cpu::{half::HalfPanels, pack::Panels, winograd::Tiles},
    graph::{constant, constant_half},
    simd::Level,
};

/// A constant matrix `[K, N]`: as it was made, or, once a CPU kernel has used it, packed.
#[derive(Debug)]
pub(crate) struct Frozen {
    device: Device,
    form: RwLock<Form>,
    carried: OnceLock<(Tiles, Panels)>,
    adjoint: OnceLock<Adjoint<Panels>>,
    half_adjoint: OnceLock<Adjoint<HalfPanels>>,
}

#[derive(Clone, Debug)]
enum Form {
    Plain(Box<Tensor<2>>),
    Packed(Packed),
}

/// A matrix in the order of the CPU kernels, in the format that it was made in.
#[derive(Clone, Debug)]
pub(crate) enum Packed {
    /// In `f32`.
    Full(Arc<Panels>),
    /// In bf16.
    Half(Arc<HalfPanels>),
}

/// The packed forms for an input gradient, and the lists of kernel positions and the tiles they are for.
#[derive(Debug)]
struct Adjoint<P> {
    taps: Vec<Vec<usize>>,
    tiles: Option<Tiles>,
    panels: Vec<P>,
}

/// Values of a matrix whose other forms are kept: its adjoint, and what is carried to the positions of tiles. Those of a larger
/// one are made at each use: that costs as much as a few dozen rows of the product, which has thousands where there is
/// a matrix of this size, and saves the memory of more copies of the network.
const MOST_KEPT: usize = 1 << 20;

/// Values of a matrix of bf16 whose forms in `f32` are kept, which take eight times its memory.
const MOST_WIDENED: usize = 1 << 18;

impl Frozen {
    pub(crate) fn new(value: Tensor<2>) -> Self {
        let (device, form) = (value.device(), RwLock::new(Form::Plain(Box::new(value))));
        let (carried, adjoint, half_adjoint) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Self { device, form, carried, adjoint, half_adjoint }
    }

    /// The matrix, copied out of its packed form if that is the one in memory.
    pub(crate) fn value(&self) -> Tensor<2> {
        match self.form() {
            Form::Plain(value) => *value,
            Form::Packed(Packed::Full(panels)) => {
                let data = TensorData::new(panels.unpack(), [panels.rows(), panels.columns()]);
                Tensor::from_data(data, &self.device)
            }
            Form::Packed(Packed::Half(panels)) => {
                let values: Vec<bf16> = panels.unpack().into_iter().map(bf16::from_bits).collect();
                let data = TensorData::new(values, [panels.rows(), panels.columns()]);
                Tensor::from_data(data, (&self.device, DType::BF16))
            }
        }
    }

    pub(crate) fn format(&self) -> DType {
        match self.form() {
            Form::Plain(value) => value.dtype(),
            Form::Packed(Packed::Full(_)) => DType::F32,
            Form::Packed(Packed::Half(_)) => DType::BF16,
        }
    }

    pub(crate) fn device(&self) -> Device {
        self.device.clone()
    }

    /// The packed form, if the matrix is on the CPU and in a format that its kernels multiply.
    pub(crate) fn packed(&self) -> Option<Packed> {
        let value = match self.form() {
            Form::Packed(packed) => return Some(packed),
            Form::Plain(value) => value,
        };
        // No lock is held meanwhile: packing waits for other threads, which may be here as well.
        let packed = pack(&value)?;
        let mut form = self.form.write().unwrap_or_else(PoisonError::into_inner);
        if let Form::Packed(first) = &*form {
            return Some(first.clone());
        }
        *form = Form::Packed(packed.clone());
        Some(packed)
    }

    /// Calls `body` with the packed form `panels`, carried to the positions of `tiles` if there are any.
    pub(super) fn forward<R>(&self, panels: &Panels, tiles: Option<Tiles>, body: impl FnOnce(&Panels) -> R) -> R {
        match tiles {
            Some(tiles) => {
                let is_kept = panels.rows() * panels.columns() <= MOST_KEPT;
                self.carried(is_kept, tiles, || tiles.carry(Level::current(), panels), body)
            }
            None => body(panels),
        }
    }

    /// Calls `body` with a matrix of bf16 in `f32`, carried to the positions of `tiles`.
    pub(super) fn widened<R>(&self, panels: &HalfPanels, tiles: Tiles, body: impl FnOnce(&Panels) -> R) -> R {
        let carry = || tiles.carry(Level::current(), &panels.widen());
        self.carried(keeps_widened(panels), tiles, carry, body)
    }

    fn carried<R>(
        &self,
        is_kept: bool,
        tiles: Tiles,
        carry: impl Fn() -> Panels,
        body: impl FnOnce(&Panels) -> R,
    ) -> R {
        if !is_kept {
            return body(&carry());
        }
        let (of, kept) = self.carried.get_or_init(|| (tiles, carry()));
        if *of == tiles { body(kept) } else { body(&carry()) }
    }

    /// Calls `body` with the packed form for the input gradient of `positions` kernel positions, once for each list
    /// in `taps`. `forward` is that of [`Frozen::packed`].
    pub(super) fn adjoint<R>(
        &self,
        forward: &Panels,
        positions: usize,
        taps: Vec<Vec<usize>>,
        tiles: Option<Tiles>,
        body: impl FnOnce(&[Panels]) -> R,
    ) -> R {
        let is_kept = forward.rows() * forward.columns() <= MOST_KEPT;
        let pack = |taps: &[Vec<usize>]| adjoints(forward, positions, taps, tiles);
        kept_adjoint(&self.adjoint, is_kept, taps, tiles, pack, body)
    }

    /// [`Frozen::adjoint`] of a matrix of bf16 in `f32`, carried to the positions of `tiles`.
    pub(super) fn widened_adjoint<R>(
        &self,
        forward: &HalfPanels,
        positions: usize,
        taps: Vec<Vec<usize>>,
        tiles: Tiles,
        body: impl FnOnce(&[Panels]) -> R,
    ) -> R {
        let pack = |taps: &[Vec<usize>]| adjoints(&forward.widen(), positions, taps, Some(tiles));
        kept_adjoint(&self.adjoint, keeps_widened(forward), taps, Some(tiles), pack, body)
    }

    /// [`Frozen::adjoint`] in bf16, which no tiles carry.
    pub(super) fn half_adjoint<R>(
        &self,
        forward: &HalfPanels,
        positions: usize,
        taps: Vec<Vec<usize>>,
        body: impl FnOnce(&[HalfPanels]) -> R,
    ) -> R {
        let is_kept = forward.rows() * forward.columns() <= MOST_KEPT;
        let inputs = forward.rows() / positions;
        let pack = |taps: &[Vec<usize>]| taps.iter().map(|taps| forward.adjoint(taps, inputs)).collect::<Vec<_>>();
        kept_adjoint(&self.half_adjoint, is_kept, taps, None, pack, body)
    }

    fn form(&self) -> Form {
        self.form.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A matrix in the order of the kernels of its format.
fn pack(value: &Tensor<2>) -> Option<Packed> {
    let [rows, columns] = value.dims();
    if let Some(array) = constant(value) {
        return Some(Packed::Full(Arc::new(Panels::pack(array.values(), rows, columns))));
    }
    constant_half(value).map(|bits| Packed::Half(Arc::new(HalfPanels::pack(&bits, rows, columns))))
}

/// Whether what Winograd's convolutions need of a matrix of bf16 is kept in `f32`.
pub(super) fn keeps_widened(panels: &HalfPanels) -> bool {
    panels.rows() * panels.columns() <= MOST_WIDENED
}

/// The packed forms for an input gradient, one for each list of kernel positions.
fn adjoints(forward: &Panels, positions: usize, taps: &[Vec<usize>], tiles: Option<Tiles>) -> Vec<Panels> {
    let (blocks, inputs) = (forward.blocks(), forward.rows() / positions);
    let one = |taps: &Vec<usize>| carry(Panels::pack_adjoint(&blocks, taps, inputs, forward.columns()), tiles);
    taps.iter().map(one).collect()
}

/// Calls `body` with the forms that `pack` makes, the ones in `kept` if they are for these positions and tiles.
fn kept_adjoint<P, R>(
    kept: &OnceLock<Adjoint<P>>,
    is_kept: bool,
    taps: Vec<Vec<usize>>,
    tiles: Option<Tiles>,
    pack: impl Fn(&[Vec<usize>]) -> Vec<P>,
    body: impl FnOnce(&[P]) -> R,
) -> R {
    if !is_kept {
        return body(&pack(&taps));
    }
    let kept = kept.get_or_init(|| Adjoint { panels: pack(&taps), taps: taps.clone(), tiles });
    if kept.taps == taps && kept.tiles == tiles { body(&kept.panels) } else { body(&pack(&taps)) }
}

/// A packed matrix, carried to the positions of tiles if there are any.
pub(super) fn carry(panels: Panels, tiles: Option<Tiles>) -> Panels {
    match tiles {
        Some(tiles) => tiles.carry(Level::current(), &panels),
        None => panels,
    }
}
