//! Captions: the subject always, the style, the ground and the second thing in a part of the draws.

use super::ground::Ground;
use crate::prompts::article;

/// What a caption says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    pub(super) subject: &'a str,
    pub(super) beside: Option<&'a str>,
    pub(super) style: Option<&'a str>,
    pub(super) ground: Option<Ground>,
}

/// The forms a noun comes in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Bare,
    WithArticle,
    EmojiOf,
}

impl Words<'_> {
    /// The caption.
    pub(super) fn say(self, form: Form) -> String {
        let noun = |noun: &str| match form {
            Form::Bare => noun.to_owned(),
            Form::WithArticle | Form::EmojiOf => format!("{} {noun}", article(noun)),
        };
        let mut caption = noun(self.subject);
        if let Some(beside) = self.beside {
            caption += &format!(" and {}", noun(beside));
        }
        if matches!(form, Form::EmojiOf) {
            caption = format!("an emoji of {caption}");
        }
        if let Some(style) = self.style {
            caption += &format!(" in {style} style");
        }
        if let Some(ground) = self.ground {
            caption += &format!(" {}", ground.phrase());
        }
        caption
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_says_what_it_is_given() {
        let cat = Words { subject: "cat", beside: None, style: None, ground: None };
        assert_eq!(cat.say(Form::Bare), "cat");
        assert_eq!(cat.say(Form::EmojiOf), "an emoji of a cat");
        let all = Words { beside: Some("umbrella"), style: Some("noto"), ground: Some(Ground::Night), ..cat };
        assert_eq!(all.say(Form::WithArticle), "a cat and an umbrella in noto style at night");
    }
}
