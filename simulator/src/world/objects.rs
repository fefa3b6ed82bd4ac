//! The standard objects that the simulator plays, as the Object Reference lists them.
//!
//! Only the fields that call logging, its lookups and its checks of the org touch are here. A seed
//! adds custom fields.

use super::schema::{Field, Kind, Object, Schema};

/// Values of `Task.Status`; the last closes the Task.
pub(crate) const TASK_STATUSES: &[&str] = &[
    "Not Started",
    "In Progress",
    "Waiting on someone else",
    "Deferred",
    "Completed",
];

/// The status that closes a Task.
pub(crate) const CLOSED: &str = "Completed";

const PRIORITIES: &[&str] = &["High", "Normal", "Low"];
const SUBTYPES: &[&str] = &["Task", "Email", "ListEmail", "Cadence", "Call", "LinkedIn"];
const CALL_TYPES: &[&str] = &["Internal", "Inbound", "Outbound"];
const TASK_TYPES: &[&str] = &["Call", "Meeting", "Other"];
const LEAD_STATUSES: &[&str] = &[
    "Open - Not Contacted",
    "Working - Contacted",
    "Closed - Converted",
    "Closed - Not Converted",
];

/// The first three characters of the ids of each object.
const PREFIXES: &[(&str, [u8; 3])] = &[
    ("Account", *b"001"),
    ("Contact", *b"003"),
    ("Lead", *b"00Q"),
    ("Task", *b"00T"),
    ("Opportunity", *b"006"),
    ("Case", *b"500"),
    ("User", *b"005"),
    ("Profile", *b"00e"),
    ("Organization", *b"00D"),
    ("UserLicense", *b"100"),
    ("PermissionSet", *b"0PS"),
    ("PermissionSetAssignment", *b"0Pa"),
    ("TaskStatus", *b"01J"),
];

/// Whether ids with this prefix belong to one of these objects.
pub(crate) fn has_prefix(objects: &[&str], prefix: [u8; 3]) -> bool {
    PREFIXES
        .iter()
        .any(|(name, known)| *known == prefix && objects.contains(name))
}

/// The schema of an org before any custom field.
pub(crate) fn standard_schema() -> Schema {
    Schema::new(vec![
        account(),
        contact(),
        lead(),
        task(),
        opportunity(),
        case(),
        user(),
        profile(),
        organization(),
        user_license(),
        permission_set(),
        permission_set_assignment(),
        task_status(),
    ])
}

/// An object with its own fields between the id and the system fields.
fn object(name: &str, fields: Vec<Field>) -> Object {
    let known = PREFIXES.iter().find(|(known, _)| *known == name);
    let prefix = known.map_or(*b"000", |(_, prefix)| *prefix);
    let mut all = vec![Field::new("Id", Kind::Id, 18).read_only()];
    all.extend(fields);
    all.extend([
        Field::boolean("IsDeleted").read_only().labelled("Deleted"),
        Field::date_time("CreatedDate").read_only(),
        Field::reference("CreatedById", &["User"]).read_only(),
        Field::date_time("LastModifiedDate").read_only(),
        Field::reference("LastModifiedById", &["User"]).read_only(),
        Field::date_time("SystemModstamp").read_only(),
    ]);
    Object::new(name, prefix, all)
}

fn owner(label: &str) -> Field {
    Field::reference("OwnerId", &["User"]).labelled(label)
}

fn account() -> Object {
    let fields = vec![
        Field::text("Name", 255).required().labelled("Account Name"),
        Field::picklist("Type", &["Prospect", "Customer - Direct", "Other"]),
        Field::phone("Phone"),
        Field::phone("Fax"),
        Field::text("AccountNumber", 40),
        Field::new("Website", Kind::Url, 255),
        Field::text("Industry", 255),
        Field::text("BillingCity", 40),
        Field::text("BillingCountry", 80),
        Field::boolean("IsPersonAccount").read_only(),
        owner("Owner"),
    ];
    object("Account", fields).writable().searchable()
}

/// First, last and full name; the full name is put together by Salesforce.
fn person() -> [Field; 4] {
    [
        Field::text("Salutation", 40),
        Field::text("FirstName", 40),
        Field::text("LastName", 80).required(),
        Field::text("Name", 121).read_only().labelled("Full Name"),
    ]
}

fn contact() -> Object {
    let mut fields = Vec::from(person());
    fields.extend([
        Field::reference("AccountId", &["Account"]),
        Field::phone("Phone").labelled("Business Phone"),
        Field::phone("MobilePhone"),
        Field::phone("HomePhone"),
        Field::phone("OtherPhone"),
        Field::phone("AssistantPhone"),
        Field::phone("Fax").labelled("Business Fax"),
        Field::email("Email"),
        Field::text("Title", 128),
        Field::text("Department", 80),
        Field::text("MailingCity", 40),
        Field::text("MailingCountry", 80),
        Field::long_text("Description", 32_000),
        owner("Owner"),
    ]);
    object("Contact", fields).writable().searchable()
}

fn lead() -> Object {
    let mut fields = Vec::from(person());
    fields.extend([
        Field::text("Company", 255).required(),
        Field::phone("Phone"),
        Field::phone("MobilePhone"),
        Field::phone("Fax"),
        Field::email("Email"),
        Field::text("Title", 128),
        Field::picklist("Status", LEAD_STATUSES).default_to(LEAD_STATUSES[0]),
        Field::picklist("LeadSource", &["Web", "Phone Inquiry", "Other"]),
        Field::text("City", 40),
        Field::text("Country", 80),
        Field::boolean("IsConverted").read_only(),
        Field::reference("ConvertedContactId", &["Contact"]).read_only(),
        Field::reference("ConvertedAccountId", &["Account"]).read_only(),
        Field::long_text("Description", 32_000),
        owner("Owner"),
    ]);
    object("Lead", fields).writable().searchable()
}

fn task() -> Object {
    let what = &["Account", "Opportunity", "Case"];
    let fields = vec![
        Field::reference("WhoId", &["Contact", "Lead"]).labelled("Name"),
        Field::reference("WhatId", what).labelled("Related To"),
        Field::new("Subject", Kind::Combobox, 255),
        Field::new("ActivityDate", Kind::Date, 0).labelled("Due Date Only"),
        Field::picklist("Status", TASK_STATUSES).default_to(TASK_STATUSES[0]),
        Field::picklist("Priority", PRIORITIES).default_to("Normal"),
        Field::boolean("IsHighPriority").read_only(),
        owner("Assigned To"),
        Field::long_text("Description", 32_000),
        Field::picklist("Type", TASK_TYPES),
        Field::reference("AccountId", &["Account"]).read_only(),
        Field::boolean("IsClosed").read_only(),
        Field::boolean("IsArchived").read_only(),
        Field::int("CallDurationInSeconds").labelled("Call Duration"),
        Field::picklist("CallType", CALL_TYPES).restricted(),
        Field::text("CallDisposition", 255).labelled("Call Result"),
        Field::text("CallObject", 255).labelled("Call Object Identifier"),
        Field::date_time("ReminderDateTime"),
        Field::boolean("IsReminderSet"),
        Field::picklist("TaskSubtype", SUBTYPES)
            .restricted()
            .create_only()
            .default_to("Task"),
        Field::date_time("CompletedDateTime").read_only(),
    ];
    object("Task", fields).writable().searchable()
}

fn opportunity() -> Object {
    let fields = vec![
        Field::text("Name", 120).required(),
        Field::text("StageName", 255).required(),
        Field::new("CloseDate", Kind::Date, 0).required(),
        Field::new("Amount", Kind::Double, 0),
        Field::reference("AccountId", &["Account"]),
        owner("Owner"),
    ];
    object("Opportunity", fields).writable().searchable()
}

fn case() -> Object {
    let fields = vec![
        Field::text("Subject", 255),
        Field::text("Status", 255).default_to("New"),
        Field::phone("SuppliedPhone"),
        Field::reference("ContactId", &["Contact"]),
        Field::reference("AccountId", &["Account"]),
        owner("Owner"),
    ];
    object("Case", fields).writable().searchable()
}

fn user() -> Object {
    let fields = vec![
        Field::text("Username", 80),
        Field::text("FirstName", 40),
        Field::text("LastName", 80),
        Field::text("Name", 121),
        Field::email("Email"),
        Field::text("Alias", 8),
        Field::boolean("IsActive"),
        Field::picklist("UserType", &["Standard"]).default_to("Standard"),
        Field::reference("ProfileId", &["Profile"]),
        Field::phone("Phone"),
        Field::phone("MobilePhone"),
        Field::text("Extension", 40),
        Field::text("TimeZoneSidKey", 40).default_to("Europe/London"),
        Field::text("LocaleSidKey", 40).default_to("en_GB"),
        Field::text("LanguageLocaleKey", 40).default_to("en_US"),
    ];
    object("User", fields).searchable()
}

/// The permissions that a profile or permission set can grant here.
fn permissions() -> [Field; 6] {
    [
        Field::boolean("PermissionsApiUserOnly"),
        Field::boolean("PermissionsApiEnabled"),
        Field::boolean("PermissionsEditTask"),
        Field::boolean("PermissionsViewAllData"),
        Field::boolean("PermissionsViewAllUsers"),
        Field::boolean("PermissionsViewSetup"),
    ]
}

fn profile() -> Object {
    let mut fields = vec![
        Field::text("Name", 255),
        Field::text("UserType", 40).default_to("Standard"),
        Field::reference("UserLicenseId", &["UserLicense"]),
    ];
    fields.extend(permissions());
    object("Profile", fields)
}

fn permission_set() -> Object {
    let mut fields = vec![
        Field::text("Name", 80),
        Field::text("Label", 80),
        Field::boolean("IsOwnedByProfile"),
        Field::reference("ProfileId", &["Profile"]),
    ];
    fields.extend(permissions());
    object("PermissionSet", fields)
}

fn permission_set_assignment() -> Object {
    let fields = vec![
        Field::reference("AssigneeId", &["User"]),
        Field::reference("PermissionSetId", &["PermissionSet"]),
    ];
    object("PermissionSetAssignment", fields)
}

fn user_license() -> Object {
    object("UserLicense", vec![Field::text("Name", 40)])
}

fn organization() -> Object {
    let fields = vec![
        Field::text("Name", 80),
        Field::text("OrganizationType", 40),
        Field::text("InstanceName", 5),
        Field::boolean("IsSandbox"),
        Field::text("Country", 80),
        Field::text("DefaultLocaleSidKey", 40).default_to("en_GB"),
        Field::text("TimeZoneSidKey", 40).default_to("Europe/London"),
    ];
    object("Organization", fields)
}

fn task_status() -> Object {
    let fields = vec![
        Field::text("MasterLabel", 255),
        Field::text("ApiName", 255),
        Field::int("SortOrder"),
        Field::boolean("IsDefault"),
        Field::boolean("IsClosed"),
    ];
    object("TaskStatus", fields)
}
