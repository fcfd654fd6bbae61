//! What was recognised on a picture.

/// What is on one picture, as far as the network can tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognition {
    /// How sure it is of each noun, in [0, 1]: subjects, then things.
    pub nouns: Vec<f32>,
    /// The number of the most likely style.
    pub style: usize,
    /// The number of the most likely ground.
    pub ground: usize,
}
