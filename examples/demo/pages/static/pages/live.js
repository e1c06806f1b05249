"use strict";

const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const socket = new WebSocket(`${scheme}//${location.host}/live/ticks/`);
const ticks = document.getElementById("ticks");
const during = document.getElementById("during");
let count = 0;

socket.addEventListener("message", (event) => {
  const message = JSON.parse(event.data);
  if (message.tick) {
    count += 1;
    ticks.textContent = count;
  } else {
    document.getElementById("echo").textContent = message.echo;
  }
});

socket.addEventListener("open", async () => {
  const before = count;
  const response = await fetch(during.dataset.slow);
  during.textContent = `${count - before} messages came while the slow page slept (${response.status}).`;
});

socket.addEventListener("close", (event) => {
  document.getElementById("echo").textContent = `closed: ${event.code} ${event.reason}`;
});

document.getElementById("say").addEventListener("submit", (event) => {
  event.preventDefault();
  socket.send(JSON.stringify({ say: event.target.elements.text.value }));
});
