//! Roles, and what each of them may do. A user has roles in its own tenant; a key has the roles it was given, which
//! are its scope.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What somebody is within a tenant; [`Role::Operator`] spans all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Makes tenants and may do everything in all of them.
    Operator,
    /// Everything in the tenant.
    Admin,
    /// Reads everything, exports and verifies.
    Auditor,
    /// Writes as itself and reads the events whose `actor.id` is its own.
    User,
    /// Writes only.
    Ingest,
}

/// Something that a route or a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Append events.
    Write,
    /// Read events: which ones, [`Roles::reads`] says.
    Read,
    /// Export events.
    Export,
    /// Check the log against the tables.
    Verify,
    /// Manage the tenant's users, keys and whatever else belongs to it.
    Manage,
    /// Make and change tenants.
    Tenants,
}

/// Which events somebody may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// All of the tenant.
    All,
    /// Those whose `actor.id` is its own.
    Own,
    /// None.
    Nothing,
}

impl Role {
    /// All roles, the most powerful first.
    pub const ALL: [Self; 5] = [
        Self::Operator,
        Self::Admin,
        Self::Auditor,
        Self::User,
        Self::Ingest,
    ];

    /// The name on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::User => "user",
            Self::Ingest => "ingest",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    const fn allows(self, permission: Permission) -> bool {
        use Permission::{Export, Read, Verify, Write};
        match self {
            Self::Operator => true,
            Self::Admin => !matches!(permission, Permission::Tenants),
            Self::Auditor => matches!(permission, Read | Export | Verify),
            Self::User => matches!(permission, Read | Write),
            Self::Ingest => matches!(permission, Write),
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of roles; as JSON a list of names.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Roles(u8);

impl Roles {
    /// No role: may do nothing.
    pub const NONE: Self = Self(0);

    /// The roles in `roles`.
    pub fn of(roles: &[Role]) -> Self {
        roles.iter().copied().collect()
    }

    /// Whether `role` is among them.
    pub const fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The roles, the most powerful first.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }

    /// Whether any of them allows it.
    pub fn can(self, permission: Permission) -> bool {
        self.iter().any(|role| role.allows(permission))
    }

    /// Which events they open.
    pub fn reads(self) -> Reads {
        match () {
            () if self
                .iter()
                .any(|role| role.allows(Permission::Read) && role != Role::User) =>
            {
                Reads::All
            }
            () if self.has(Role::User) => Reads::Own,
            () => Reads::Nothing,
        }
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        Self(roles.into_iter().fold(0, |bits, role| bits | role.bit()))
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for Roles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Role>::deserialize(deserializer).map(Self::from_iter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_may_do_what_its_description_says() {
        use Permission::*;
        let may = |role| {
            let roles = Roles::of(&[role]);
            let all = [Write, Read, Export, Verify, Manage, Tenants];
            (
                all.into_iter()
                    .filter(|permission| roles.can(*permission))
                    .collect::<Vec<_>>(),
                roles.reads(),
            )
        };
        assert_eq!(
            may(Role::Operator),
            (vec![Write, Read, Export, Verify, Manage, Tenants], Reads::All)
        );
        assert_eq!(
            may(Role::Admin),
            (vec![Write, Read, Export, Verify, Manage], Reads::All)
        );
        assert_eq!(may(Role::Auditor), (vec![Read, Export, Verify], Reads::All));
        assert_eq!(may(Role::User), (vec![Write, Read], Reads::Own));
        assert_eq!(may(Role::Ingest), (vec![Write], Reads::Nothing));
        assert!(!Roles::NONE.can(Write) && Roles::NONE.reads() == Reads::Nothing);
    }

    #[test]
    fn the_widest_reading_wins() {
        assert_eq!(Roles::of(&[Role::User, Role::Auditor]).reads(), Reads::All);
        assert_eq!(Roles::of(&[Role::User, Role::Ingest]).reads(), Reads::Own);
    }

    #[test]
    fn as_json_they_are_names() {
        let roles = Roles::of(&[Role::Ingest, Role::Admin]);
        assert_eq!(serde_json::to_string(&roles).unwrap(), r#"["admin","ingest"]"#);
        assert_eq!(
            serde_json::from_str::<Roles>(r#"["ingest","admin"]"#).unwrap(),
            roles
        );
        assert!(serde_json::from_str::<Roles>(r#"["root"]"#).is_err());
    }
}
