//! Parameters that a file of another library keeps under other names, side by side in one tensor, or transposed.

use super::{ParamSpec, Placement, Specs, Weights};
use crate::{
    error::{Error, Result},
    files::TensorFile,
};

/// Where a parameter is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorPart {
    /// The tensor.
    pub name: String,
    /// Which of how many equal parts of its first axis; the whole is part 0 of 1.
    pub part: (usize, usize),
    /// Whether the file has the matrix the other way round, `[I, O]`.
    pub transposed: bool,
}

impl TensorPart {
    /// A whole tensor.
    pub fn whole(name: impl Into<String>) -> Self {
        Self { name: name.into(), part: (0, 1), transposed: false }
    }

    /// Part `index` of the `count` that are stacked along the first axis of a tensor.
    pub fn stacked(name: impl Into<String>, index: usize, count: usize) -> Self {
        Self { part: (index, count), ..Self::whole(name) }
    }

    /// A matrix that the file has the other way round.
    pub fn transposed(name: impl Into<String>) -> Self {
        Self { transposed: true, ..Self::whole(name) }
    }

    /// The shape that the whole tensor must have for this part to be `spec`.
    fn wanted(&self, spec: &ParamSpec) -> Vec<usize> {
        let mut shape = spec.shape.clone();
        if self.transposed {
            shape.reverse();
        }
        if let Some(first) = shape.first_mut() {
            *first *= self.part.1;
        }
        shape
    }

    fn check(&self, spec: &ParamSpec, file: &TensorFile) -> Result<()> {
        let (found, wanted) = (file.shape(&self.name)?, self.wanted(spec));
        // A vector that is added to a batch of sequences is kept as `[1, 1, C]`, their positions as `[1, S, C]`.
        let is_padded = |found: &[usize]| {
            let ones = found.len().saturating_sub(wanted.len());
            found[..ones].iter().all(|size| *size == 1) && found[ones..] == wanted
        };
        if is_padded(found) {
            return Ok(());
        }
        let (name, tensor) = (file.name().to_owned(), self.name.clone());
        Err(Error::TensorShape { name, tensor, found: found.to_vec(), wanted })
    }

    fn read(&self, spec: &ParamSpec, file: &TensorFile) -> Result<Vec<f32>> {
        let whole = file.read(&self.name)?;
        let (index, count) = self.part;
        let size = spec.elements();
        let values = match count {
            1 => whole,
            _ => whole.get(index * size..(index + 1) * size).unwrap_or_default().to_vec(),
        };
        Ok(match (self.transposed, spec.shape.as_slice()) {
            (true, [rows, columns]) => transpose(&values, *rows, *columns),
            _ => values,
        })
    }
}

/// `[columns, rows] -> [rows, columns]`
fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    for (column, line) in values.chunks_exact(rows.max(1)).enumerate() {
        for (row, value) in line.iter().enumerate() {
            out[row * columns + column] = *value;
        }
    }
    out
}

impl Weights {
    /// [`Weights::load`] of a file in which a parameter is where `part` says, and which may hold more: the tensors that
    /// `ignored` knows.
    ///
    /// # Errors
    ///
    /// If a tensor is missing, unknown, damaged or of another shape.
    pub fn load_parts(
        specs: &Specs,
        file: &TensorFile,
        part: impl Fn(&str) -> TensorPart,
        ignored: impl Fn(&str) -> bool,
        placement: impl Into<Placement>,
    ) -> Result<Self> {
        let parts: Vec<TensorPart> = specs.iter().map(|spec| part(&spec.name)).collect();
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        file.check_names(&names, ignored)?;
        specs.iter().zip(&parts).try_for_each(|(spec, part)| part.check(spec, file))?;
        let mut parts = parts.iter();
        let read = |spec: &ParamSpec| parts.next().map_or_else(|| Ok(Vec::new()), |part| part.read(spec, file));
        Self::from_file_order(specs, read, placement)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::{
        Bytes, FileDtype, encode,
        params::{Init, Layout},
    };

    fn file(tensors: &[(&str, &[usize])]) -> TensorFile {
        let tensors: Vec<_> = tensors
            .iter()
            .map(|(name, shape)| {
                let values = (0..shape.iter().product()).map(|i: usize| i as f32).collect();
                ((*name).to_owned(), shape.to_vec(), values)
            })
            .collect();
        let bytes: Arc<[u8]> = encode(&tensors, FileDtype::F32, BTreeMap::new()).unwrap().into();
        TensorFile::open("a.safetensors", vec![Bytes::Shared(bytes)]).unwrap()
    }

    fn spec(name: &str, shape: &[usize], layout: Layout) -> ParamSpec {
        ParamSpec { name: name.into(), shape: shape.to_vec(), layout, init: Init::Zeros }
    }

    fn load(file: &TensorFile, shape: &[usize], part: TensorPart) -> Result<Vec<f32>> {
        let layout = if shape.len() == 2 { Layout::Linear } else { Layout::Vector };
        let specs: Specs = vec![spec("a", shape, layout)].into();
        let weights = Weights::load_parts(&specs, file, |_| part.clone(), |_| false, &burn::tensor::Device::default())?;
        Ok(weights.to_file_order()?.remove(0).1)
    }

    #[test]
    fn parts_and_transposes_are_what_they_stand_for() {
        let file = file(&[("w", &[6, 2])]);
        assert_eq!(load(&file, &[2, 2], TensorPart::stacked("w", 1, 3)).unwrap(), [4.0, 5.0, 6.0, 7.0]);
        let whole: Vec<f32> = (0..12).map(|i| i as f32).collect();
        assert_eq!(load(&file, &[6, 2], TensorPart::whole("w")).unwrap(), whole);
        let turned = [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 1.0, 3.0, 5.0, 7.0, 9.0, 11.0];
        assert_eq!(load(&file, &[2, 6], TensorPart::transposed("w")).unwrap(), turned);
    }

    #[test]
    fn a_batch_of_one_is_no_axis_of_a_parameter() {
        let file = file(&[("w", &[1, 1, 3])]);
        assert_eq!(load(&file, &[3], TensorPart::whole("w")).unwrap(), [0.0, 1.0, 2.0]);
        let error = load(&file, &[4], TensorPart::whole("w")).unwrap_err().to_string();
        assert_eq!(error, "tensor `w` of `a.safetensors` has shape [1, 1, 3], wanted [4]");
    }
}
