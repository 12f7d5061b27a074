use argon2::{
    Argon2,
    password_hash::{Error, PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::UsersError;

/// Hashes passwords by argon2id with the crate's defaults: 19 MiB, two passes, one lane. Source: OWASP, Password Storage Cheat
/// Sheet.
pub(super) struct Passwords {
    /// What is looked at for unknown users, so that the time does not tell who is known.
    nobody: String,
    /// Each takes memory and a core for a while.
    turns: Semaphore,
}

const AT_ONCE: usize = 4;

impl Passwords {
    pub(super) async fn new() -> Result<Self, UsersError> {
        let turns = Semaphore::new(AT_ONCE);
        let nobody = String::new();
        let passwords = Self { nobody, turns };
        let nobody = passwords.hash("").await?;
        Ok(Self {
            nobody,
            ..passwords
        })
    }

    pub(super) async fn hash(&self, password: &str) -> Result<String, UsersError> {
        let password = password.to_owned();
        let _turn = self.turns.acquire().await;
        let hashed = spawn_blocking(move || hash(&password)).await?;
        Ok(hashed?)
    }

    /// Whether that is the password. `hash`: as stored; `None` is never right, and takes as long.
    pub(super) async fn verify(
        &self,
        password: &str,
        hash: Option<String>,
    ) -> Result<bool, UsersError> {
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        let password = password.to_owned();
        let _turn = self.turns.acquire().await;
        let is_right = spawn_blocking(move || verify(&password, &hash)).await??;
        Ok(is_right && is_known)
    }
}

fn hash(password: &str) -> Result<String, Error> {
    let hash: PasswordHash = Argon2::default().hash_password(password.as_bytes())?;
    Ok(hash.to_string())
}

fn verify(password: &str, hash: &str) -> Result<bool, UsersError> {
    let hash = PasswordHash::new(hash)?;
    match Argon2::default().verify_password(password.as_bytes(), &hash) {
        Ok(()) => Ok(true),
        Err(Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
