//! How much the JPEG sizes of the pictures of one subject differ, which is what a reward of bytes can choose among.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use ddpo::rewards::jpeg_bytes;

/// Compositions that are measured.
const COUNT: usize = 4000;

/// Prints the mean and the standard deviation of the bytes by ground, and the mean over subjects of the deviation of a subject's
/// compositions, in which it is alone.
pub fn measure(data: &Path) -> Result<(), Box<dyn Error>> {
    let compositor = super::sheet::animals_alone(data)?;
    let (mut by_ground, mut by_subject) = (BTreeMap::<&str, Vec<f64>>::new(), BTreeMap::<usize, Vec<f64>>::new());
    for drawn in compositor.sheet(0, COUNT) {
        let picture = drawn.picture()?;
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let bytes = jpeg_bytes(width, height, picture.pixels()).ok_or("a picture is no JPEG")? as f64;
        by_ground.entry(drawn.ground.name()).or_default().push(bytes);
        by_subject.entry(drawn.subject).or_default().push(bytes);
    }
    for (ground, bytes) in &by_ground {
        println!("{ground:10} {:.0} ± {:.0} bytes", super::mean(bytes), super::deviation(bytes));
    }
    let deviations: Vec<f64> = by_subject.values().map(|bytes| super::deviation(bytes)).collect();
    println!(
        "{COUNT} compositions of {} subjects, deviation of a subject's: {:.0} bytes",
        by_subject.len(),
        super::mean(&deviations)
    );
    Ok(())
}
