//! The table of options: one macro writes the type, its defaults and its documentation.

/// One option as `ddpo config` prints it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The Rust field; the TOML key is the same in kebab-case.
    pub field: &'static str,
    /// What it does, a line each.
    pub comment: &'static [&'static str],
    /// Where the default comes from.
    pub source: &'static str,
    /// Whether the embedded model has a default of its own, tuned for it.
    pub tuned: bool,
    /// What to print, commented out, for an option that is absent by default.
    pub example: Option<&'static str>,
    /// What values it takes.
    pub kind: Kind,
}

impl Entry {
    /// The TOML key.
    pub fn key(&self) -> String {
        self.field.replace('_', "-")
    }
}

/// What values an option takes, in the words of the reference.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Any value of a type.
    Any(&'static str),
    /// One of these names.
    OneOf(&'static [&'static str]),
}

/// A type that options have.
pub(crate) trait OptionType {
    /// What values it takes.
    const KIND: Kind;
}

/// Says what the values of types are called.
macro_rules! option_types {
    ($($type:ty = $text:literal;)*) => { $(
        impl OptionType for $type {
            const KIND: Kind = Kind::Any($text);
        }
    )* };
}

option_types! {
    bool = "true or false";
    u64 = "integer";
    usize = "integer";
    f64 = "number";
    String = "text";
    Vec<String> = "list of texts";
    Vec<f64> = "list of numbers";
}

impl<T: OptionType> OptionType for Option<T> {
    const KIND: Kind = T::KIND;
}

/// One `[section]` of the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    /// The TOML table's name.
    pub name: &'static str,
    /// What it holds.
    pub about: &'static [&'static str],
    /// Its options, in the order they are printed.
    pub entries: &'static [Entry],
}

/// Declares a section: `field: type = default, "source"[, "example"][ => emoji value];` under a doc comment.
///
/// The doc comment is the field's documentation and the comment in the printed file, so that the
/// two cannot differ. `emoji` is what was tuned for the embedded model; `Default` takes it, as a run without a word of a
/// model does.
macro_rules! options {
    ($(#[doc = $about:literal])* $name:ident = $section:literal {
        $( $(#[doc = $doc:literal])* $field:ident : $type:ty = $default:expr, $source:literal $(, $example:literal)?
            $(=> emoji $emoji:expr)? ; )*
    }) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self::defaults($crate::config::ModelKind::Embedded)
            }
        }

        impl $name {
            /// The defaults for models of a kind.
            pub(crate) fn defaults(kind: $crate::config::ModelKind) -> Self {
                let _is_embedded = kind == $crate::config::ModelKind::Embedded;
                Self { $( $field: options!(@default _is_embedded, $default $(, $emoji)?), )* }
            }

            pub(crate) const SECTION: $crate::config::options::Section = $crate::config::options::Section {
                name: $section,
                about: &[$($about),*],
                entries: &[$( $crate::config::options::Entry {
                    field: stringify!($field),
                    comment: &[$($doc),*],
                    source: $source,
                    tuned: options!(@tuned $($emoji)?),
                    example: options!(@example $($example)?),
                    kind: <$type as $crate::config::options::OptionType>::KIND,
                } ),*],
            };
        }
    };
    (@default $is_embedded:ident, $default:expr) => { $default };
    (@default $is_embedded:ident, $default:expr, $emoji:expr) => { if $is_embedded { $emoji } else { $default } };
    (@tuned) => { false };
    (@tuned $emoji:expr) => { true };
    (@example) => { None };
    (@example $example:literal) => { Some($example) };
}

pub(crate) use options;
