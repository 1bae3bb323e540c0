// Courier's official Node client, for interop_test.go to drive.
//
// Each line of the input is a call, such as ["profiles.retrieve", "user-1"]. The output for
// it is a line with {"result": …} or {"error": …}. The client takes URL and key from
// COURIER_BASE_URL and COURIER_API_KEY.

import { createInterface } from 'node:readline';
import Courier from '@trycourier/courier';

const client = new Courier({ logLevel: 'off' }); // it logs to the standard output

function call(operation, ...args) {
  const names = operation.split('.');
  const method = names.pop();
  const resource = names.reduce((parent, name) => parent[name], client);
  return resource[method](...args);
}

for await (const line of createInterface({ input: process.stdin })) {
  const outcome = {};
  try {
    outcome.result = await call(...JSON.parse(line));
  } catch (error) {
    outcome.error = {
      class: error.constructor.name,
      status: error.status,
      type: error.error?.type,
      message: error.error?.message,
    };
  }
  console.log(JSON.stringify(outcome));
}
