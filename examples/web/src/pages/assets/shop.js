// A page that the browser has kept may be of somebody who is no longer logged in.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

// What takes a while says so, and is not sent twice.
for (const form of document.querySelectorAll("form[data-busy]")) {
  form.addEventListener("submit", () => {
    const button = form.querySelector("button");
    button.textContent = form.dataset.busy;
    button.disabled = true;
  });
}
