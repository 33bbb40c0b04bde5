// A way to a server that can be shut and opened again, as when the server dies and comes back at the same address.

import { connect, createServer } from 'node:net';

export class Door {
  #listener;
  #open = new Set();
  #isShut = false;

  static async start(base) {
    const door = new Door();
    const { hostname, port } = new URL(base);
    door.#listener = createServer((near) => {
      if (door.#isShut) return near.destroy();
      const far = connect(Number(port), hostname);
      for (const [one, other] of [[near, far], [far, near]]) {
        door.#open.add(one);
        one.on('close', () => (door.#open.delete(one), other.destroy()));
        one.on('error', () => other.destroy());
        one.pipe(other);
      }
    });
    await new Promise((resolve) => door.#listener.listen(0, '127.0.0.1', resolve));
    return door;
  }

  get url() {
    return `http://127.0.0.1:${this.#listener.address().port}`;
  }

  /** Cuts every connection and takes no further one. */
  shut() {
    this.#isShut = true;
    for (const one of this.#open) one.destroy();
  }

  open() {
    this.#isShut = false;
  }

  async stop() {
    this.shut();
    await new Promise((resolve) => this.#listener.close(resolve));
  }
}
