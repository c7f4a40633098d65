/** The dialog that asks for the server's token. */

import { api, whenUnauthorized } from "./api";
import { h } from "./dom";
import { openDialog } from "./keyboard";
import { state } from "./state";

export function askForToken(): void {
  let open = false;
  whenUnauthorized(() => {
    if (open) return;
    open = true;
    const input = h("input", { type: "password", autocomplete: "current-password", required: true, id: "token" });
    const error = h("p", { class: "reason", role: "alert" });
    const form = h("form", {}, h("label", { for: "token" }, "Token of the server "), input, " ",
      h("button", { class: "primary" }, "Log in"), error);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      api.login(input.value).then(
        () => {
          dialog.close();
          state.connect();
        },
        (reason: Error) => { error.textContent = reason.message; });
    });
    const dialog = openDialog("Log in",
      h("p", { class: "muted" }, "The person who started avel serve knows it: it is in AVEL_TOKEN or the file of --token-file."), form);
    dialog.addEventListener("close", () => { open = false; });
    input.focus();
  });
}
