import { type TypeOf, union } from './codec';
import { dataVariants } from './data-messages';
import { groupVariants } from './group-messages';
import { logVariants } from './log-messages';
import { peerVariants } from './peer-messages';
import { placementVariants } from './placement-messages';

/** Every message that may cross a thread or a machine. Tags are the wire's and never reused. */
export const messageCodec = union({
  ...peerVariants,
  ...logVariants,
  ...dataVariants,
  ...placementVariants,
  ...groupVariants,
});
export type Message = TypeOf<typeof messageCodec>;
export type MessageKind = Message['kind'];
/** One kind's type: `MessageOf<'data.write'>`. */
export type MessageOf<K extends MessageKind> = Extract<Message, { readonly kind: K }>;
