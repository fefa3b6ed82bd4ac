//! What an org's answers say about each point of a preflight.

use serde::Deserialize;

use crate::domain::preflight::{Check, Found, Point};
use crate::domain::task::{KeyMode, TaskField};
use crate::domain::work::ApiUsage;

/// Objects whose records are looked up.
pub(super) const SEARCHED: [&str; 3] = ["Contact", "Lead", "Account"];

/// `describe` of an object.
#[derive(Deserialize)]
pub(super) struct Described {
    /// The user may create records of it.
    pub(super) createable: bool,
    /// They can be searched.
    #[serde(default)]
    searchable: bool,
    /// The fields that the user sees.
    pub(super) fields: Vec<Field>,
}

/// One field of `describe`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Field {
    pub(super) name: String,
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    pub(super) createable: bool,
    pub(super) external_id: bool,
    pub(super) unique: bool,
}

/// All that a preflight is made of.
pub(super) struct Answers<'a> {
    /// Task.
    pub(super) task: &'a Described,
    /// The objects of [`SEARCHED`]; `None` for one that the API user does not see.
    pub(super) searched: [Option<Described>; 3],
    /// How Tasks are found again.
    pub(super) key_mode: &'a KeyMode,
    /// The unique field of the settings.
    pub(super) key_field: &'a str,
    /// What the API user's profile permits; `None` where it is not told.
    pub(super) sees_all: Option<bool>,
    /// As [`Answers::sees_all`].
    pub(super) sees_users: Option<bool>,
    /// As [`Answers::sees_all`].
    pub(super) api_only: Option<bool>,
    /// The org's usage.
    pub(super) usage: Option<ApiUsage>,
}

impl Answers<'_> {
    /// Every check, what is needed first.
    pub(super) fn checks(&self) -> Vec<Check> {
        let check = |point, found| Check { point, found };
        // It has answered.
        let mut checks = vec![
            check(Point::ApiEnabled, Found::Yes),
            check(Point::EditTasks, self.task.createable.into()),
        ];
        // Without Tasks, the list of their fields says nothing more.
        if self.task.createable {
            checks.extend(self.written_fields());
        }
        let searched = SEARCHED.into_iter().zip(&self.searched);
        let searched = searched.map(|(object, described)| {
            let object = object.to_owned();
            let found = described.as_ref().is_some_and(Described::has_phones);
            check(Point::SearchObject { object }, found.into())
        });
        let searched: Vec<Check> = searched.collect();
        // An org need not show them all: a search goes on without those that are hidden.
        let some = searched.iter().any(|check| check.found == Found::Yes);
        checks.push(check(Point::SearchSome, some.into()));
        checks.extend(searched);
        let field = self.key_field.to_owned();
        let unique = matches!(self.key_mode, KeyMode::UniqueField { .. });
        let left = self.usage.map(|usage| usage.used < usage.limit);
        let left_of = Point::RequestsLeft {
            used: self.usage.map(|usage| usage.used),
            limit: self.usage.map(|usage| usage.limit),
        };
        checks.extend([
            check(Point::KeyField { field }, unique.into()),
            check(Point::ViewAllData, Found::of(self.sees_all)),
            check(Point::ViewAllUsers, Found::of(self.sees_users)),
            check(left_of, Found::of(left)),
            check(Point::ApiOnly, Found::of(self.api_only)),
        ]);
        checks
    }

    /// The fields of Task that calls fill.
    fn written_fields(&self) -> impl Iterator<Item = Check> {
        let wanted = TaskField::ALL
            .into_iter()
            .filter(|f| *f != TaskField::Type)
            .map(TaskField::as_str);
        let fields = &self.task.fields;
        wanted.chain(["CallObject"]).map(|name| Check {
            point: Point::WriteField {
                field: name.to_owned(),
            },
            found: fields.iter().any(|f| f.name == name && f.createable).into(),
        })
    }
}

impl Described {
    /// Whether its records are found by their phone fields.
    fn has_phones(&self) -> bool {
        self.searchable && self.fields.iter().any(|field| field.kind == "phone")
    }
}
