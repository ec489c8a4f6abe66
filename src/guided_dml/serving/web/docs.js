"use strict";
// What /openapi.json says, to be read: FastAPI's own page needs the internet.
const $ = (selector) => document.querySelector(selector);
function add(place, tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  place.append(element);
  return element;
}
function table(place, rows) {
  const body = add(add(place, "table", ""), "tbody", "");
  for (const row of rows) {
    const line = add(body, "tr", "");
    for (const text of row) add(line, "td", text);
  }
}
const typeOf = ({ type, items, anyOf, default: usual }) => {
  const name = anyOf ? anyOf.map(({ type }) => type).join(" or ") : type === "array" ? `list of ${items.type}s` : type;
  return usual === undefined || usual === null ? name : `${name}, default ${usual}`;
};

async function start() {
  const api = await (await fetch("/openapi.json")).json();
  $("#model").textContent = `${api.info.title}, export ${api.info.version}`;
  $("#curl").textContent = `curl --data-binary @image.png '${location.origin}/predict?k=5&alpha=0.05'`;
  for (const [path, methods] of Object.entries(api.paths)) for (const [method, said] of Object.entries(methods)) {
    const place = add($("#paths"), "section", "");
    add(place, "h2", `${method.toUpperCase()} ${path}`);
    add(place, "p", `${said.summary}.`);
    if (said.parameters) table(place, said.parameters.map(({ name, schema, description = "" }) => [name, typeOf(schema), description]));
    const named = said.responses[200].content["application/json"]?.schema.$ref?.split("/").pop();
    if (named) {
      add(place, "p", "It answers:");
      table(place, Object.entries(api.components.schemas[named].properties).map(([name, schema]) => [name, typeOf(schema), schema.description ?? ""]));
    }
    const failures = Object.entries(said.responses).filter(([code]) => code >= 400);
    if (failures.length) {
      add(place, "p", "Or, where there is no answer:");
      table(place, failures.map(([code, { description }]) => [code, description]));
    }
  }
}
start().catch((error) => { $("#paths").textContent = `This page cannot be shown: ${error.message}`; });
