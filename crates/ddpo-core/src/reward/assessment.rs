//! What a reward says of images, besides numbers.

use std::collections::BTreeMap;

/// What a reward says of some images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assessment {
    /// A number for each image; higher is better. NaN is no score.
    pub values: Vec<f32>,
    /// What training maximises, where it is not `values`: the same of normalised rewards, which mean nothing beyond their set.
    pub optimised: Option<Vec<f32>>,
    /// The images without a score that are to be left out, by their rows: what to do about any other is for whoever asks to
    /// decide.
    pub left_out: Vec<usize>,
    /// What the values were made of, by name: a number for each image, NaN for none.
    pub parts: BTreeMap<String, Vec<f32>>,
    /// Of a sum, what each of its terms adds to [`optimised`](Self::optimised), in their order: a number for each image.
    pub terms: Vec<Vec<f32>>,
    /// What the reward says in words of some of the images, by their rows: for people.
    pub remarks: Vec<(usize, String)>,
    /// What went wrong on the way and did not end it, a line each: for people.
    pub warnings: Vec<String>,
}

impl Assessment {
    /// Numbers alone.
    pub fn of(values: Vec<f32>) -> Self {
        Self { values, ..Self::default() }
    }

    /// No score for any of `count` images, all of which are to be left out.
    pub fn none(count: usize) -> Self {
        Self { values: vec![f32::NAN; count], left_out: (0..count).collect(), ..Self::default() }
    }

    /// What training maximises.
    pub fn optimised(&self) -> &[f32] {
        self.optimised.as_deref().unwrap_or(&self.values)
    }

    /// Puts what was said of some images in their places among `count`; `rows` says which image each of them is.
    pub fn scatter(&self, rows: &[usize], count: usize, all: &mut Self) {
        place(&mut all.values, &self.values, rows, count);
        if let Some(optimised) = &self.optimised {
            place(all.optimised.get_or_insert_default(), optimised, rows, count);
        }
        for (name, values) in &self.parts {
            place(all.parts.entry(name.clone()).or_default(), values, rows, count);
        }
        all.terms.resize(all.terms.len().max(self.terms.len()), Vec::new());
        all.terms.iter_mut().zip(&self.terms).for_each(|(all, values)| place(all, values, rows, count));
        all.left_out.extend(self.left_out.iter().filter_map(|&row| rows.get(row)));
        all.remarks.extend(self.remarks.iter().filter_map(|(row, text)| Some((*rows.get(*row)?, text.clone()))));
        all.warnings.extend(self.warnings.iter().cloned());
    }
}

fn place(all: &mut Vec<f32>, values: &[f32], rows: &[usize], count: usize) {
    all.resize(count, f32::NAN);
    rows.iter().zip(values).for_each(|(&row, &value)| all[row] = value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_some_images_finds_their_places() {
        let mut all = Assessment::default();
        let some = Assessment {
            values: vec![1.0, 2.0],
            parts: [("part".to_owned(), vec![3.0, 4.0])].into(),
            remarks: vec![(1, "a fox".to_owned())],
            warnings: vec!["late".to_owned()],
            ..Assessment::default()
        };
        some.scatter(&[2, 0], 4, &mut all);
        Assessment::none(1).scatter(&[3], 4, &mut all);
        assert_eq!((all.values[0], all.values[2], all.values[1].is_nan()), (2.0, 1.0, true));
        assert_eq!((all.parts["part"][0], all.parts["part"][3].is_nan()), (4.0, true));
        assert_eq!((&all.left_out[..], &all.remarks[..]), (&[3][..], &[(0, "a fox".to_owned())][..]));
        assert_eq!((all.warnings.len(), all.optimised().len()), (1, 4));
    }
}
