export const queue = () => ({draw: () => '', stop(){}});
