import { AlertDialog } from "@base-ui/react/alert-dialog";
import { Dialog } from "@base-ui/react/dialog";
import { type ReactNode, useState } from "react";
import { Button, buttonClass } from "./button.tsx";
import { CloseIcon } from "./icons.tsx";
import { ErrorNotice } from "./notice.tsx";
import { Scroller } from "./scroller.tsx";

const backdrop =
  "fixed inset-0 z-40 bg-[rgb(15_16_20/0.45)] transition-opacity duration-150 data-[ending-style]:opacity-0 data-[starting-style]:opacity-0";

interface ConfirmProps {
  readonly open: boolean;
  readonly onClose: () => void;
  readonly title: string;
  /** What will happen, and what can't be undone. */
  readonly children: ReactNode;
  readonly action: string;
  /** What the button says meanwhile. */
  readonly acting: string;
  readonly destructive?: boolean;
  /** Must be typed before the button works. */
  readonly typed?: string;
  /** Closes when it is done; stays and says why when it fails. */
  readonly act: () => Promise<unknown>;
}

/** Asks before something is done that can't be undone. */
export function Confirm(props: ConfirmProps): ReactNode {
  return (
    <AlertDialog.Root open={props.open} onOpenChange={(open) => open || props.onClose()}>
      <AlertDialog.Portal>
        <AlertDialog.Backdrop className={backdrop} />
        <AlertDialog.Popup className="fixed top-1/2 left-1/2 z-50 w-[min(28rem,calc(100vw-2rem))] -translate-1/2 rounded-xl border border-line bg-raised p-5 shadow-float outline-none transition-[opacity,scale] duration-150 data-[ending-style]:scale-[0.98] data-[ending-style]:opacity-0 data-[starting-style]:scale-[0.98] data-[starting-style]:opacity-0">
          <ConfirmBody {...props} />
        </AlertDialog.Popup>
      </AlertDialog.Portal>
    </AlertDialog.Root>
  );
}

function ConfirmBody({
  title,
  children,
  action,
  acting,
  destructive,
  typed,
  act,
  onClose,
}: ConfirmProps): ReactNode {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [text, setText] = useState("");
  const run = async () => {
    setBusy(true);
    setError(null);
    try {
      await act();
      onClose();
    } catch (failed) {
      setError(failed);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void run();
      }}
    >
      <AlertDialog.Title className="text-[16px] font-semibold">{title}</AlertDialog.Title>
      <AlertDialog.Description render={<div />} className="foreign mt-2 space-y-2 text-ink-2">
        {children}
      </AlertDialog.Description>
      {typed !== undefined && (
        <label className="mt-3 block">
          <span className="text-[13px] text-ink-2">
            Type <code className="foreign font-mono text-ink">{typed}</code> to go on.
          </span>
          <input
            className="mt-1 h-9 w-full rounded-md border border-line-strong bg-surface px-2.5 font-mono text-[13px]"
            value={text}
            onChange={(event) => setText(event.target.value)}
            autoComplete="off"
            spellCheck={false}
          />
        </label>
      )}
      {error !== null && (
        <div className="mt-3">
          <ErrorNotice error={error} />
        </div>
      )}
      <div className="mt-5 flex flex-wrap justify-end gap-2">
        <AlertDialog.Close className={buttonClass("plain")}>Cancel</AlertDialog.Close>
        <Button
          type="submit"
          kind={destructive ? "danger" : "primary"}
          busy={busy && acting}
          disabled={typed !== undefined && text.trim() !== typed}
        >
          {action}
        </Button>
      </div>
    </form>
  );
}

interface SheetProps {
  readonly open: boolean;
  readonly onClose: () => void;
  readonly title: ReactNode;
  readonly note?: ReactNode;
  readonly children: ReactNode;
}

/** A panel over the page's right side; on a phone over all of it. */
export function Sheet({ open, onClose, title, note, children }: SheetProps): ReactNode {
  return (
    <Dialog.Root open={open} onOpenChange={(next) => next || onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className={backdrop} />
        <Dialog.Popup className="fixed inset-y-0 right-0 z-50 flex w-[min(62rem,100vw)] flex-col border-l border-line bg-canvas shadow-float outline-none transition-[translate,opacity] duration-200 data-[ending-style]:translate-x-8 data-[ending-style]:opacity-0 data-[starting-style]:translate-x-8 data-[starting-style]:opacity-0">
          <header className="flex items-start gap-3 border-b border-line bg-surface px-4 py-3 sm:px-6">
            <div className="min-w-0 flex-1">
              <Dialog.Title className="foreign text-[16px] font-semibold">{title}</Dialog.Title>
              {note !== undefined && (
                <Dialog.Description render={<div />} className="text-[13px] text-ink-2">
                  {note}
                </Dialog.Description>
              )}
            </div>
            <Dialog.Close className={buttonClass("quiet")} aria-label="Close">
              <CloseIcon />
            </Dialog.Close>
          </header>
          <Scroller label="Details" className="min-h-0 flex-1 overflow-y-auto px-4 py-5 sm:px-6">
            {children}
          </Scroller>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
