// Courier's official Node client, for interop_test.go to drive.
//
// Each line of the input is a call, such as ["profiles.retrieve", "user-1"]. The
// output for it is a line with {"result": …} or {"error": …} from the client, and
// in "sent" the requests that it made, retries included.
//
// The client takes URL and key from COURIER_BASE_URL and COURIER_API_KEY.

import { createInterface } from 'node:readline';
import Courier from '@trycourier/courier';

let sent;

const client = new Courier({
  logLevel: 'off', // it logs to the standard output
  fetch: (url, init) => {
    sent.push({
      method: init.method,
      path: url.slice(client.baseURL.length),
      headers: Object.fromEntries(new Headers(init.headers)),
      body: init.body,
    });
    return fetch(url, init);
  },
});

function call(operation, ...args) {
  const names = operation.split('.');
  const method = names.pop();
  const resource = names.reduce((parent, name) => parent[name], client);
  return resource[method](...args);
}

for await (const line of createInterface({ input: process.stdin })) {
  sent = [];
  const answer = { sent };
  try {
    answer.result = await call(...JSON.parse(line));
  } catch (error) {
    answer.error = {
      class: error.constructor.name,
      status: error.status,
      message: error.message,
      body: error.error,
    };
  }
  console.log(JSON.stringify(answer));
}
