//! What an org lacks, and the setting that mends it. What is wrong with a link is told everywhere
//! alike, and stands in [`crate::telling::troubles`].

/// Something that the API user lacks.
pub(in super::super) struct Lack {
    pub(in super::super) what: String,
    pub(in super::super) setting: &'static str,
    /// Where that is, below the org's own address.
    pub(in super::super) path: &'static str,
}

/// What a line of [`crate::domain::link::LinkedOrg::missing`] means.
pub(in super::super) fn lack(missing: &str) -> Lack {
    match missing.split_once('.') {
        Some(("Task", field)) => Lack {
            what: format!("The field {field} of Task cannot be written."),
            setting: "Setup > Object Manager > Task > Fields & Relationships > the field > Set Field-Level Security: visible and not read-only for the API user's profile.",
            path: "/lightning/setup/ObjectManager/Task/FieldsAndRelationships/view",
        },
        _ if missing == "create Task" => Lack {
            what: "The API user may not create Tasks.".to_owned(),
            setting: "Setup > Permission Sets > the API user's permission set > System Permissions: Edit Tasks.",
            path: "/lightning/setup/PermSets/home",
        },
        _ => Lack {
            what: missing.to_owned(),
            setting: "Setup > Permission Sets > the API user's permission set.",
            path: "/lightning/setup/PermSets/home",
        },
    }
}
