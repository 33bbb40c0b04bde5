// A receiver of webhooks on loopback that answers what it is told to.

import { createServer } from 'node:http';

export class Receiver {
  /** What it answers from now on. */
  answer = 200;
  /** The `webhook-id` of every call. */
  ids = [];
  #server;

  static async start() {
    const receiver = new Receiver();
    receiver.#server = createServer((request, response) => {
      request.resume();
      request.on('end', () => {
        receiver.ids.push(request.headers['webhook-id']);
        response.writeHead(receiver.answer).end();
      });
    });
    await new Promise((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}/webhook`;
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
