import { render } from "preact";
import "../style.css";
import "./studio.css";
import { App } from "./app";
import { start } from "./state";

const root = document.getElementById("app")!;
void start().then(() => {
  root.replaceChildren();
  render(<App />, root);
});
