//! DeBERTa's attention, which looks at contents and at distances apart (He et al., arXiv 2006.03654, equation 4).

use burn::tensor::{Int, Tensor, TensorData, activation::softmax};

use super::ragged::split;
use crate::{
    layers::Linear,
    params::{Init, Layout, ParamId, ParamScope, Weights},
};

/// PyTorch's `initializer_range` of the family.
const STD: f64 = 0.02;

/// Attention of contents to contents, of contents to distances, and of distances to contents.
#[derive(Clone, Debug)]
pub(super) struct DisentangledAttention {
    /// Queries, keys and values of all heads: `[head][query, key, value][channel]`.
    contents: Linear,
    query_bias: ParamId,
    value_bias: ParamId,
    distance_keys: Option<Linear>,
    distance_queries: Option<Linear>,
    heads: usize,
    width: usize,
}

/// Keys and queries of the distances of a layer, `[2 reach - 1, C]` each; the middle row is the distance 0.
pub(super) struct Distances {
    keys: Option<Tensor<2>>,
    queries: Option<Tensor<2>>,
    reach: usize,
}

impl DisentangledAttention {
    pub fn new(
        scope: &mut ParamScope<'_>,
        width: usize,
        heads: usize,
        content_to_position: bool,
        position_to_content: bool,
    ) -> Self {
        let bias = |scope: &mut ParamScope<'_>, name: &str| scope.param(name, &[width], Layout::Vector, Init::Zeros);
        let contents = Linear::without_bias(&mut scope.child("in_proj"), width, 3 * width);
        Self {
            contents,
            query_bias: bias(scope, "q_bias"),
            value_bias: bias(scope, "v_bias"),
            distance_keys: content_to_position
                .then(|| Linear::without_bias(&mut scope.child("pos_proj"), width, width)),
            distance_queries: position_to_content
                .then(|| Linear::normal(&mut scope.child("pos_q_proj"), width, width, STD)),
            heads,
            width,
        }
    }

    /// What is known of distances before any text is: from the embeddings of those less than `reach`, `[2 reach - 1, C]`.
    pub fn distances(&self, weights: &Weights, embeddings: &Tensor<2>, reach: usize) -> Distances {
        let scale = self.scale();
        let apply = |layer: &Linear| layer.forward(weights, embeddings.clone());
        Distances {
            keys: self.distance_keys.as_ref().map(apply),
            queries: self.distance_queries.as_ref().map(|layer| apply(layer).div_scalar(scale)),
            reach,
        }
    }

    /// # Shapes
    ///
    /// `[sum of lengths, C] -> [sum of lengths, C]`
    pub fn forward(&self, weights: &Weights, x: Tensor<2>, lengths: &[usize], distances: &Distances) -> Tensor<2> {
        let [rows, width] = x.dims();
        let depth = self.width / self.heads;
        let all = self.contents.forward(weights, x).reshape([rows, self.heads, 3, depth]);
        let part = |index: usize| all.clone().narrow(2, index, 1).reshape([rows, width]);
        let bias = |id: ParamId| weights.vector(id).reshape([1, width]);
        let query = (part(0) + bias(self.query_bias)).div_scalar(self.scale());
        let (key, value) = (part(1), part(2) + bias(self.value_bias));
        let texts = split(&query, lengths).into_iter().zip(split(&key, lengths)).zip(split(&value, lengths));
        let attended = texts.map(|((query, key), value)| self.attend([query, key, value], distances));
        Tensor::cat(attended.collect(), 0)
    }

    /// One text: `[S, C] -> [S, C]`.
    fn attend(&self, [query, key, value]: [Tensor<2>; 3], distances: &Distances) -> Tensor<2> {
        let [length, width] = query.dims();
        let [query, key, value] = [query, key, value].map(|x| self.by_head(x));
        let mut scores = query.clone().matmul(key.clone().transpose());
        let index = self.indices(length, &scores);
        if let Some(keys) = distances.of(&distances.keys, length) {
            scores = scores + query.matmul(self.by_head(keys).transpose()).gather(2, index.clone());
        }
        if let Some(queries) = distances.of(&distances.queries, length) {
            // The distance is from the query to the key, whichever of them is content.
            scores = scores + key.matmul(self.by_head(queries).transpose()).gather(2, index.transpose()).transpose();
        }
        softmax(scores, 2).matmul(value).swap_dims(0, 1).reshape([length, width])
    }

    /// `[S, C] -> [heads, S, C / heads]`
    fn by_head(&self, x: Tensor<2>) -> Tensor<3> {
        let [rows, width] = x.dims();
        x.reshape([rows, self.heads, width / self.heads]).swap_dims(0, 1)
    }

    /// Where the distance of tokens i and j is among those of a text: `i - j + S - 1`.
    fn indices(&self, length: usize, like: &Tensor<3>) -> Tensor<3, Int> {
        let one = (0..length).flat_map(|i| (0..length).map(move |j| (i + length - 1 - j) as i64));
        let data = TensorData::new(one.collect(), [1, length, length]);
        Tensor::<3, Int>::from_data(data, &like.device()).repeat_dim(0, self.heads)
    }

    /// By which scores are divided: the root of a head's channels times the number of terms.
    fn scale(&self) -> f64 {
        let terms = 1 + usize::from(self.distance_keys.is_some()) + usize::from(self.distance_queries.is_some());
        ((self.width / self.heads * terms) as f64).sqrt()
    }
}

impl Distances {
    /// Those that are less than `length`.
    fn of(&self, values: &Option<Tensor<2>>, length: usize) -> Option<Tensor<2>> {
        values.as_ref().map(|values| values.clone().narrow(0, self.reach - length, 2 * length - 1))
    }
}
