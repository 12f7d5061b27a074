//! Chromium, driven over WebDriver.

mod driver; // the process that drives it
mod http; // how it is spoken to

use std::{
    env,
    io::{Write as _, stderr},
    path::Path,
    time::Duration,
};

use thirtyfour::{By, ChromiumLikeCapabilities as _, DesiredCapabilities, WebDriver, WindowHandle};
use tokio::time::{Instant, sleep};

use self::{driver::Driver, http::HttpConnection};
use crate::TestResult;

/// A browser with a profile of its own: its cookies are those of no other. Dropping it ends it.
#[derive(Debug)]
pub struct Browser {
    // Before its driver, which has to end it.
    browser: WebDriver,
    _driver: Driver,
}

/// What a page is looked at with.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Screen {
    /// 1100 by 900 pixels.
    Desktop,
    /// 390 pixels wide.
    Phone,
}

impl Browser {
    /// Whether `LATCHKEY_SKIP` leaves out tests in a browser; says so on the terminal.
    ///
    /// # Errors
    /// When the variable cannot be read or the terminal cannot be written to.
    pub fn is_skipped() -> TestResult<bool> {
        let skipped = match env::var("LATCHKEY_SKIP") {
            Ok(parts) => parts.split(',').any(|part| part.trim() == PART),
            Err(env::VarError::NotPresent) => false,
            Err(error) => return Err(error.into()),
        };
        if skipped {
            // Past the test harness, which keeps what a test prints to itself.
            writeln!(stderr().lock(), "skipped by LATCHKEY_SKIP: {PART}")?;
        }
        Ok(skipped)
    }

    /// Starts one.
    ///
    /// # Errors
    /// When chromium or chromedriver is missing, or does not start within two minutes.
    pub async fn open(screen: Screen) -> TestResult<Self> {
        let driver = Driver::start().await?;
        let mut capabilities = DesiredCapabilities::chrome();
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1100,900",
        ] {
            capabilities.add_arg(argument)?;
        }
        let profile = driver.profile().display();
        capabilities.add_arg(&format!("--user-data-dir={profile}"))?;
        if let Screen::Phone = screen {
            let metrics = serde_json::json!({ "width": 390, "height": 844, "pixelRatio": 2.0 });
            let phone = serde_json::json!({ "deviceMetrics": metrics });
            capabilities.add_experimental_option("mobileEmulation", phone)?;
        }
        let browser = WebDriver::builder(driver.url(), capabilities)
            .client(HttpConnection::new())
            .await?;
        Ok(Self {
            browser,
            _driver: driver,
        })
    }

    /// Goes to an address.
    ///
    /// # Errors
    /// When the page cannot be loaded.
    pub async fn go(&self, address: &str) -> TestResult {
        Ok(self.browser.goto(address).await?)
    }

    /// Presses the back button.
    ///
    /// # Errors
    /// When the browser does not.
    pub async fn back(&self) -> TestResult {
        Ok(self.browser.back().await?)
    }

    /// Clicks on the first element that the CSS selector finds.
    ///
    /// # Errors
    /// When there is none for 30 s.
    pub async fn click(&self, selector: &str) -> TestResult {
        let clicked = async || Ok(self.browser.find(By::Css(selector)).await?.click().await?);
        until(&format!("{selector} to be clicked on"), clicked).await
    }

    /// Types into the first element that the CSS selector finds, in place of what is there.
    ///
    /// # Errors
    /// When there is none for 30 s.
    pub async fn fill(&self, selector: &str, text: &str) -> TestResult {
        let filled = async || {
            let field = self.browser.find(By::Css(selector)).await?;
            field.clear().await?;
            Ok(field.send_keys(text).await?)
        };
        until(&format!("{selector} to be filled"), filled).await
    }

    /// Waits until the texts of the elements that the CSS selector finds are these.
    ///
    /// # Errors
    /// When they are not for 30 s.
    pub async fn sees(&self, selector: &str, expected: &[&str]) -> TestResult {
        let seen = async || {
            let texts = self.texts(selector).await?;
            if texts == expected {
                return Ok(());
            }
            Err(format!("{selector} is {texts:?}").into())
        };
        until(&format!("{expected:?}"), seen).await
    }

    /// The texts of all elements that the CSS selector finds.
    ///
    /// # Errors
    /// When the page changes meanwhile.
    pub async fn texts(&self, selector: &str) -> TestResult<Vec<String>> {
        let mut texts = Vec::new();
        for element in self.browser.find_all(By::Css(selector)).await? {
            texts.push(element.text().await?);
        }
        Ok(texts)
    }

    /// How wide the page is beyond the screen, in pixels.
    ///
    /// # Errors
    /// When the browser does not tell.
    pub async fn overflow(&self) -> TestResult<i64> {
        let script =
            "const page = document.documentElement; return page.scrollWidth - page.clientWidth;";
        let width = self.browser.execute(script, vec![]).await?;
        Ok(width.json().as_i64().ok_or("no width")?)
    }

    /// What has the focus, after the tab key was pressed so often from the start of the page.
    ///
    /// # Errors
    /// When the browser does not tell.
    pub async fn after_tabs(&self, tabs: usize) -> TestResult<String> {
        let keys = "\u{e004}".repeat(tabs);
        self.browser
            .find(By::Css("body"))
            .await?
            .send_keys(keys)
            .await?;
        let focus = self.browser.active_element().await?;
        Ok(focus.text().await?)
    }

    /// A further window, which is used from now on.
    ///
    /// # Errors
    /// When the browser opens none.
    pub async fn new_window(&self) -> TestResult<(WindowHandle, WindowHandle)> {
        let first = self.browser.window().await?;
        let second = self.browser.new_window().await?;
        self.use_window(&second).await?;
        Ok((first, second))
    }

    /// Uses that window from now on.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn use_window(&self, window: &WindowHandle) -> TestResult {
        Ok(self.browser.switch_to_window(window.clone()).await?)
    }

    /// Saves what is to be seen, for people.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn screenshot(&self, file: &Path) -> TestResult {
        let picture = self.browser.screenshot_as_png().await?;
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(file, picture)?)
    }
}

/// The name of tests in a browser in `LATCHKEY_SKIP`.
const PART: &str = "browser";

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Tries again and again: pages come and go while they are looked at.
#[expect(
    clippy::disallowed_methods,
    reason = "waits for a browser in real time"
)]
async fn until(what: &str, attempt: impl AsyncFn() -> TestResult) -> TestResult {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(format!("waited {PATIENCE:?} for {what}: {error}").into());
            }
            Err(_not_yet) => sleep(POLL).await,
        }
    }
}
