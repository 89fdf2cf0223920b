import type { MessagePort } from 'node:worker_threads';
import * as Comlink from 'comlink';

type Listener = Parameters<Comlink.Endpoint['addEventListener']>[1];

/** Comlink speaks to browser ports, which hand events to listeners; a Node port hands over the bare message. */
export function comlinkEndpoint(port: MessagePort): Comlink.Endpoint {
  const handlers = new Map<Listener, (data: unknown) => void>();
  return {
    postMessage: (message: unknown, transfer?: readonly unknown[]) =>
      port.postMessage(message, transfer as Parameters<MessagePort['postMessage']>[1]),
    addEventListener: (_type: string, listener: Listener) => {
      const handler = (data: unknown): void => dispatch(listener, data);
      handlers.set(listener, handler);
      port.on('message', handler);
    },
    removeEventListener: (_type: string, listener: Listener) => {
      const handler = handlers.get(listener);
      if (handler === undefined) return;
      handlers.delete(listener);
      port.off('message', handler);
    },
    start: () => port.start(),
  };
}

function dispatch(listener: Listener, data: unknown): void {
  const event = { data } as never;
  if (typeof listener === 'function') listener(event);
  else listener.handleEvent(event);
}

/** Hands the port over instead of copying it. */
export const transferred = (port: MessagePort): MessagePort => Comlink.transfer(port, [port as never]);
