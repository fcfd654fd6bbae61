//! Named f32 tensors on the host: what a checkpoint keeps.

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::error::{Error, Result};

/// A named flat list of f32 values.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// The name, unique in its file.
    pub name: String,
    /// The values.
    pub values: Vec<f32>,
}

impl NamedTensor {
    /// Reads `tensor` back from its device.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn from_tensor(name: impl Into<String>, tensor: &Tensor<1>) -> Result<Self> {
        let data = tensor.clone().inner().try_into_data().map_err(Error::device)?;
        let values = data.try_into_vec::<f32>().map_err(Error::device)?;
        Ok(Self { name: name.into(), values })
    }

    /// The values on `device`.
    pub fn to_tensor(&self, device: &Device) -> Tensor<1> {
        Tensor::from_data(TensorData::new(self.values.clone(), [self.values.len()]), device)
    }

    /// The tensor called `name`, which must have `length` values.
    ///
    /// # Errors
    /// [`Error::Parameter`] where it is missing or has another length.
    pub fn find<'a>(tensors: &'a [Self], name: &str, length: usize) -> Result<&'a Self> {
        let found = tensors.iter().find(|t| t.name == name);
        match found {
            Some(tensor) if tensor.values.len() == length => Ok(tensor),
            other => Err(Error::Parameter {
                name: name.to_owned(),
                what: "the checkpoint",
                found: other.map_or("none".to_owned(), |t| format!("{} values", t.values.len())),
                wanted: format!("{length} values"),
            }),
        }
    }
}

impl NamedTensor {
    /// The tensors as the bytes of a safetensors file; the same tensors give the same bytes.
    ///
    /// # Errors
    /// [`Error::Tensors`] for names which repeat or a size beyond the format.
    pub fn serialize(tensors: &[Self]) -> Result<Vec<u8>> {
        to_bytes(tensors).map_err(Error::Tensors)
    }

    /// Reads what [`serialize`](Self::serialize) wrote.
    ///
    /// # Errors
    /// [`Error::Tensors`] for a file which is damaged or of another kind.
    pub fn deserialize(bytes: &[u8]) -> Result<Vec<Self>> {
        from_bytes(bytes).map_err(Error::Tensors)
    }
}

/// Writes the tensors as a safetensors file: the same tensors give the same bytes.
///
/// # Errors
/// A reason in words; only names which repeat or a size beyond the format can cause one.
pub(crate) fn to_bytes(tensors: &[NamedTensor]) -> Result<Vec<u8>, String> {
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|t| little_endian(&t.values)).collect();
    let mut views = Vec::with_capacity(tensors.len());
    for (tensor, bytes) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, vec![tensor.values.len()], bytes).map_err(|e| e.to_string())?;
        views.push((tensor.name.as_str(), view));
    }
    serialize(views, None).map_err(|e| e.to_string())
}

/// Reads what [`to_bytes`] wrote.
///
/// # Errors
/// A reason in words.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Vec<NamedTensor>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let mut tensors = Vec::with_capacity(file.len());
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(format!("tensor `{name}` is {:?}, wanted F32", view.dtype()));
        }
        let (words, _) = view.data().as_chunks::<4>();
        tensors.push(NamedTensor { name, values: words.iter().map(|w| f32::from_le_bytes(*w)).collect() });
    }
    Ok(tensors)
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_survive_the_file_to_the_bit() {
        let tensors = vec![
            NamedTensor { name: "a".into(), values: vec![1.0, f32::MIN_POSITIVE / 2.0, -0.0] },
            NamedTensor { name: "b".into(), values: vec![] },
        ];
        let bytes = to_bytes(&tensors).unwrap();
        let mut back = from_bytes(&bytes).unwrap();
        back.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(back, tensors);
        assert_eq!(back[0].values[2].to_bits(), (-0.0f32).to_bits());
    }

    #[test]
    fn a_cut_file_is_an_error() {
        let bytes = to_bytes(&[NamedTensor { name: "a".into(), values: vec![1.0; 8] }]).unwrap();
        for length in 0..bytes.len() {
            assert!(from_bytes(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_tensor_of_another_length_is_refused_by_name() {
        let tensors = [NamedTensor { name: "a".into(), values: vec![1.0; 8] }];
        let message = NamedTensor::find(&tensors, "a", 9).unwrap_err().to_string();
        assert!(message.contains("`a`") && message.contains('8') && message.contains('9'), "{message}");
        assert!(NamedTensor::find(&tensors, "b", 8).is_err());
    }
}
