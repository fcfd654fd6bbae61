//! What an operation may be told besides its tensors.

/// Zeros added around an image, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Padding {
    /// Rows above the image.
    pub top: usize,
    /// Rows below the image.
    pub bottom: usize,
    /// Columns left of the image.
    pub left: usize,
    /// Columns right of the image.
    pub right: usize,
}

impl Padding {
    /// The same padding on all four sides.
    pub const fn same(pixels: usize) -> Self {
        Self { top: pixels, bottom: pixels, left: pixels, right: pixels }
    }
}

/// The geometry of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Step between outputs, the same in both directions.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: Padding,
}

impl Conv2dOptions {
    /// A 3×3 convolution that keeps the size of the image.
    pub const SAME_3X3: Self = Self { kernel: [3, 3], stride: 1, padding: Padding::same(1) };

    /// A 1×1 convolution.
    pub const POINTWISE: Self = Self { kernel: [1, 1], stride: 1, padding: Padding::same(0) };

    /// Height and width of the output for an input of `height` by `width`.
    ///
    /// # Panics
    ///
    /// If the padded image is smaller than the kernel, or the stride is zero.
    pub fn output(&self, height: usize, width: usize) -> [usize; 2] {
        let Padding { top, bottom, left, right } = self.padding;
        let [kh, kw] = self.kernel;
        let (h, w) = (height + top + bottom, width + left + right);
        assert!(self.stride > 0, "conv2d: stride 0, wanted at least 1");
        assert!(h >= kh && w >= kw, "conv2d: padded image {h}x{w}, wanted at least the kernel {kh}x{kw}");
        [(h - kh) / self.stride + 1, (w - kw) / self.stride + 1]
    }
}

/// Which keys a query may look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mask {
    /// All of them.
    #[default]
    None,
    /// Those at its own position and before.
    Causal,
}

/// A pointwise function applied to the result of a normalisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// `x · sigmoid(x)`.
    Silu,
}
