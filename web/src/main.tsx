import { render } from "preact";
import { App } from "./ui/app";
import { fuseOnChange, report, start, status } from "./ui/state";
import "./style.css";

const root = document.getElementById("app")!;
root.replaceChildren();
render(<App />, root);
fuseOnChange();
void start();

if (location.protocol.startsWith("http") && "serviceWorker" in navigator) {
  navigator.serviceWorker.register("./sw.js").catch(() => {
    // Without it the page works as well, but only while the network answers.
  });
}

window.addEventListener("unhandledrejection", (event) => {
  status.value = "Something went wrong.";
  report(event.reason);
});
