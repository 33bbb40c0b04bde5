// A receiver of webhooks on loopback that answers what it is told to.

import { createServer } from 'node:http';

export class Receiver {
  /** What it answers from now on. */
  answer = 200;
  #calls = [];
  #server;

  static async start() {
    const receiver = new Receiver();
    receiver.#server = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (part) => (body += part));
      request.on('end', () => {
        receiver.#calls.push({ id: request.headers['webhook-id'], job: JSON.parse(body).data.id });
        response.writeHead(receiver.answer).end();
      });
    });
    await new Promise((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  /** The `webhook-id` of every call about that job; others, such as the default job, end when they like. */
  idsOf(job) {
    return this.#calls.filter((call) => call.job === job).map((call) => call.id);
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}/webhook`;
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
