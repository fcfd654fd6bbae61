//! What a stack of adapters is made of: the products of files and runs, the lowest first.

use std::path::Path;

use crate::adapter::AdapterSource;
use crate::config::Layers;
use crate::error::{Error, Result};

use super::adapter_files::checksum;
use super::directory::{Product, RunDirectory};

/// The products that `sources` stand for, each with its strength. A run stands for the frozen adapters it was trained over, each
/// once, and then for its own.
pub(super) fn products(sources: &[AdapterSource]) -> Result<Vec<(Product, f64)>> {
    let (mut products, mut below) = (Vec::new(), Vec::new());
    sources.iter().try_for_each(|source| add(source, &mut products, &mut below))?;
    Ok(products)
}

/// `below` are the adapters that runs have brought with them.
fn add(source: &AdapterSource, products: &mut Vec<(Product, f64)>, below: &mut Vec<AdapterSource>) -> Result<()> {
    for frozen in frozen_below(&source.path)? {
        if !below.contains(&frozen) {
            below.push(frozen.clone());
            add(&frozen, products, below)?;
        }
    }
    products.push((Product::find(&source.path)?, source.strength));
    Ok(())
}

/// The frozen adapters of the run in a directory; none of a file.
fn frozen_below(path: &Path) -> Result<Vec<AdapterSource>> {
    let run = RunDirectory::of_product(path);
    if !run.join(RunDirectory::CONFIG).is_file() {
        return Ok(Vec::new());
    }
    let mut layers = Layers::default();
    layers.push_resolved(&run.join(RunDirectory::CONFIG).display().to_string(), &RunDirectory::read_config(run)?)?;
    layers.resolve()?.lora.frozen_adapters()
}

/// The frozen adapters of a plan by content and strength, the lowest first, so that files may move; nothing if there are none.
///
/// # Errors
///
/// Fails when one cannot be read, or is a whole model.
pub(super) fn fingerprint(frozen: &[AdapterSource]) -> Result<Option<String>> {
    let one = |(product, strength): (Product, f64)| match product {
        Product::Adapter(path) => Ok(format!("{} at {strength}", checksum(&path)?)),
        Product::Model(path) => Err(Error::InvalidOption {
            key: "lora.frozen",
            found: format!("the whole model {}", path.display()),
            expected: "an adapter; of a whole model, --model takes the directory".into(),
        }),
    };
    let all: Vec<String> = products(frozen)?.into_iter().map(one).collect::<Result<_>>()?;
    Ok((!all.is_empty()).then(|| all.join(", ")))
}
